//! Taking over a host that a hand-made stack runs: first its configuration is written down and no
//! container is touched; then services come under the stack one at a time, when the operator says.

mod action;
mod append_only;
mod discovery;
mod precheck;
mod record;

pub use action::Action;
pub use discovery::{Found, KEPT_SUFFIX, discover};
pub use precheck::{Take, precheck};
pub use record::record;
