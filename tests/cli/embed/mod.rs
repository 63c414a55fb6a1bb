//! `bottleneck embed`, through kills, Ctrl-C, damaged files and damaged journals.

mod images;
mod interrupted;
mod outputs;
pub mod studio;
mod vectors;
