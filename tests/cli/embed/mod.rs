//! `bottleneck embed`, through kills, Ctrl-C, damaged files and damaged journals.

mod interrupted;
mod outputs;
mod pictures;
pub mod studio;
