//! The plug-in engine against guests that mean no good, files that are no plug-ins, and its own promises.

mod deterministic;
mod guests;
mod hostile;
mod loading;
mod rig;
mod roles;
