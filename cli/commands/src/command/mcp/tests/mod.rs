mod daemon;
mod lines;
mod mapping;
mod session;
