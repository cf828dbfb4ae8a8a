mod client;
mod daemon;
mod lines;
mod mapping;
mod servers;
mod session;
