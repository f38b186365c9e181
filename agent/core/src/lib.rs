//! The deterministic pipeline of platform-agent.
