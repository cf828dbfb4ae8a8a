//! `kv provider list|show`

use kv_api::{Code, ProviderSummary};

use super::Context;
use crate::arguments::Provider;
use crate::client::Request;
use crate::output::{inert, table};
use crate::problem::Problem;

pub(super) async fn run(context: &Context, verb: Provider) -> Result<(), Problem> {
    let mut client = context.person().await?;
    let providers: Vec<ProviderSummary> = client.ask(Request::get("/v1/providers")).await?;
    match verb {
        Provider::List => context.output.show(&providers, |providers| {
            let rows: Vec<_> = providers
                .iter()
                .map(|provider| {
                    let names: Vec<_> =
                        provider.slots.iter().filter_map(|slot| slot.usual_names.first().cloned()).collect();
                    vec![
                        format!("{}@{}", provider.name, provider.version),
                        provider.title.clone(),
                        provider.origins.join(", "),
                        names.join(", "),
                    ]
                })
                .collect();
            table(&["provider", "title", "origin", "secret"], &rows)
        }),
        Provider::Show { name } => {
            let provider = providers
                .iter()
                .find(|provider| provider.name.as_str() == name)
                .ok_or_else(|| Problem::new(Code::NotFound, "there is no such provider").next("kv provider list"))?;
            context.output.show(provider, show)
        }
    }
}

fn show(provider: &ProviderSummary) -> String {
    let counts = &provider.operations;
    let mut text = format!(
        "{}@{}   {}\n{}\ndigest     {}\norigin     {}\noperations {} suggested allow, {} ask, {} deny\n",
        provider.name,
        provider.version,
        inert(&provider.title),
        inert(&provider.description),
        provider.digest,
        provider.origins.join(", "),
        counts.allow,
        counts.ask,
        counts.deny
    );
    for slot in &provider.slots {
        text.push_str(&format!(
            "slot       {}: {} {}\n",
            slot.name,
            slot.usual_names.join(", "),
            inert(&slot.description)
        ));
    }
    for setting in &provider.settings {
        let default = setting.default.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "setting    {} (default {}) {}\n",
            setting.name,
            inert(default),
            inert(&setting.description)
        ));
    }
    text
}
