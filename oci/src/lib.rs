//! Signed requests to Oracle Cloud.
