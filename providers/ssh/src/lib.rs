//! A machine over SSH, as a provider: commands of the caller's own, and files through the machine's own tools.
//!
//! `commands` holds the operations whose command the caller writes; their output streams to the caller. `files` reads,
//! `write` writes, and `failure` makes the caller's terms of how a command ended. There is no file transfer protocol:
//! each operation is one or two plain commands, so a person can read what was run.
//!
//! Reading files takes `tail`, `ls` and `stat -c`, as GNU coreutils and BusyBox have them. On BSD and macOS `stat` is
//! another program: there `list-dir` gives names alone, `stat` fails, and the rest works.

mod commands;
mod failure;
mod files;
mod path;
mod piece;
mod status;
mod write;

kv_sdk::provider! {
    protocol: ssh,
    manifest: [include_str!("../provider.toml")],
    auth: ["login"],
    failure: failure::failure,
    operations: [
        commands::run,
        commands::shell,
        files::list_dir,
        files::read_file,
        files::stat,
        files::tail,
        status::status,
        write::write_file,
    ],
}
