//! The stand-in over real HTTP.

mod cases;
mod exchanges;
mod faults;
mod library;
mod program;
mod rules;
mod support;
