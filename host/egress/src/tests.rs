//! Calls to real services on loopback, over real TLS. [`lab`] makes a vault, a log and permits; the rest is sorted by what
//! an attacker holds: the request, the name, the certificate, the connection, the answer, the moment.

mod addresses;
mod answers;
mod connections;
mod environment;
mod hostile;
mod lab;
mod locks;
mod postgres;
mod postgres_hostile;
mod postgres_lab;
mod postgres_limits;
mod postgres_logins;
mod postgres_walls;
mod reflection;
mod requests;
mod ssh;
mod ssh_clock;
mod ssh_hostile;
mod ssh_lab;
mod trust;
