//! `kv passwd`

use kv_api::{Hidden, PassphraseRequest};
use serde_json::Value;

use super::{Context, set};
use crate::arguments::Passwd;
use crate::client::Request;
use crate::problem::Problem;

pub(super) async fn run(context: &Context, arguments: Passwd) -> Result<(), Problem> {
    let mut client = context.person().await?;
    set::open(context, &mut client).await?;
    let old = context.asking.passphrase("Passphrase now:", arguments.passphrase_file.as_deref())?;
    let new = match &arguments.new_passphrase_file {
        Some(file) => context.asking.passphrase("New passphrase:", Some(file))?,
        None => {
            let otherwise = "give --new-passphrase-file FILE";
            let first = context.asking.hidden("New passphrase:", otherwise)?;
            let again = context.asking.hidden("Again:", otherwise)?;
            if *first != *again {
                return Err(Problem::usage("the two new passphrases differ; the old one stays"));
            }
            Hidden::new(first.to_string())
        }
    };
    let request = PassphraseRequest { old, new, accept_weak: arguments.accept_weak };
    let result: Value = client.ask(Request::post("/v1/vault/passwd", &request)?).await?;
    context.output.show(&result, |_| "the passphrase was changed; the old one opens nothing any more".to_owned())
}
