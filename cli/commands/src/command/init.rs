//! `kv init`

use kv_api::{Code, Hidden, InitRequest, InitResult};

use super::Context;
use crate::arguments::Init;
use crate::client::Request;
use crate::problem::Problem;
use crate::time::left;

pub(super) async fn run(context: &Context, arguments: Init) -> Result<(), Problem> {
    let passphrase = choose(context, &arguments)?;
    let request = InitRequest {
        passphrase,
        for_ms: u64::try_from(arguments.lasts.as_millis()).unwrap_or(u64::MAX),
        accept_weak: arguments.accept_weak,
        throw_away: arguments.throw_away,
    };
    let mut client = context.person().await?;
    let made: InitResult = client.ask(Request::post("/v1/vault/init", &request)?).await?;
    context.output.show(&made, |made| {
        format!(
            "vault      {} (XChaCha20-Poly1305, Argon2id)\ndaemon     started; the vault is open for {}\n\n\
             kv runs as your own user here: it keeps credentials out of what agents see, and is no wall against a program\n\
             that attacks kv itself. Read: kv help isolation\n\nNext: kv set OPENAI_API_KEY",
            made.path,
            left(made.until_ms)
        )
    })
}

fn choose(context: &Context, arguments: &Init) -> Result<Hidden, Problem> {
    if let Some(file) = &arguments.passphrase.passphrase_file {
        return context.asking.passphrase("Passphrase:", Some(file));
    }
    let otherwise = "give --passphrase-file FILE";
    context.output.note("Choose a passphrase for your vault: four or more unrelated words do well.");
    let first = context.asking.hidden("Passphrase:", otherwise)?;
    let again = context.asking.hidden("Again:", otherwise)?;
    if *first != *again {
        return Err(Problem::new(Code::Usage, "the two passphrases differ; no vault was made").next("kv init"));
    }
    Ok(Hidden::new(first.to_string()))
}
