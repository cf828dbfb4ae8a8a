//! Becoming the daemon: the host, with the providers that came with this program.

use kv_api::home::Home;
use kv_daemon::{Builtin, Options};

pub(crate) fn run(home: Home) -> Result<(), String> {
    let builtins = kv_bundle::builtins();
    let builtins = builtins.iter().map(|builtin| Builtin {
        name: builtin.name,
        component: builtin.component,
        compiled: builtin.compiled,
    });
    kv_daemon::run(Options { home, builtins: builtins.collect() }).map_err(|error| error.to_string())
}
