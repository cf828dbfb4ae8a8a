//! What there is: connections, operations, providers. Names and schemas, never values.

use std::cmp::Reverse;

use kv_api::{
    ConnectionSummary, Counts, OperationDetail, OperationSummary, ProviderSummary, SettingSummary, SlotSummary,
};
use kv_model::{Connection, ConnectionName, Manifest, Operation, OperationName, Suggestion};
use kv_runtime::Provider;

use crate::answer::{self, Answered};
use crate::fault::Fault;
use crate::gate::Session;
use crate::route::parameters;
use crate::secrets;
use crate::shared::Shared;

/// As many operations as a search finds, when nothing is said.
const FOUND: usize = 3;
const MOST_FOUND: usize = 20;

pub(crate) fn connections(shared: &Shared) -> Result<Answered, Fault> {
    let session = shared.gate.session()?;
    let summaries: Vec<_> =
        session.connections().values().map(|connection| summary(shared, &session, connection)).collect();
    answer::json(&summaries)
}

pub(crate) fn summary(shared: &Shared, session: &Session, connection: &Connection) -> ConnectionSummary {
    let title = shared.providers.find(&connection.provider).map(|provider| provider.manifest.title.clone());
    ConnectionSummary {
        name: connection.name.clone(),
        provider: connection.provider.clone(),
        title: title.unwrap_or_default(),
        origin: connection.origin.to_string(),
        key_label: connection.bindings.values().find_map(|bound| secrets::label_of(session, bound.id)),
        operations: count(connection.accepted.values().copied()),
    }
}

fn count(suggestions: impl Iterator<Item = Suggestion>) -> Counts {
    suggestions.fold(Counts::default(), |mut counts, suggestion| {
        match suggestion {
            Suggestion::Allow => counts.allow += 1,
            Suggestion::Ask => counts.ask += 1,
            Suggestion::Deny => counts.deny += 1,
        }
        counts
    })
}

/// All operations, or those of one connection.
pub(crate) fn operations(shared: &Shared, query: Option<&str>) -> Result<Answered, Fault> {
    let session = shared.gate.session()?;
    let parameters = parameters(query)?;
    let wanted = match parameters.get("connection").and_then(|value| value.as_str()) {
        Some(name) => Some(session.connection(&parse_connection(name)?)?.name.clone()),
        None => None,
    };
    let mut summaries = Vec::new();
    for connection in session.connections().values() {
        if wanted.as_ref().is_none_or(|wanted| *wanted == connection.name) {
            // One connection of a provider that has changed must not hide all others.
            let manifest = match shared.providers.of(connection) {
                Ok(provider) => &provider.manifest,
                Err(fault) if wanted.is_some() => return Err(fault),
                Err(_) => continue,
            };
            summaries.extend(
                manifest.operations.values().map(|operation| operation_summary(connection, manifest, operation)),
            );
        }
    }
    answer::json(&summaries)
}

pub(crate) fn operation(shared: &Shared, connection: &str, operation: &str) -> Result<Answered, Fault> {
    let session = shared.gate.session()?;
    let connection = session.connection(&parse_connection(connection)?)?;
    let manifest = &shared.providers.of(&connection)?.manifest;
    let name = OperationName::parse(operation).map_err(|error| Fault::usage(error.to_string()))?;
    let found = manifest
        .operations
        .get(&name)
        .ok_or_else(|| Fault::no_operation(&connection.name, &name, &manifest.nearest_operations(operation, 3)))?;
    answer::json(&detail(&connection, manifest, found))
}

/// The operations that fit some words best.
pub(crate) fn search(shared: &Shared, query: Option<&str>) -> Result<Answered, Fault> {
    let session = shared.gate.session()?;
    let parameters = parameters(query)?;
    let words = parameters.get("q").and_then(|value| value.as_str()).unwrap_or_default().to_lowercase();
    let words: Vec<&str> = words.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1).take(16).collect();
    let most = parameters.get("limit").and_then(|value| value.as_str()?.parse().ok()).unwrap_or(FOUND).min(MOST_FOUND);
    let connections = session.connections();
    let mut found = Vec::new();
    for connection in connections.values() {
        let Ok(provider) = shared.providers.of(connection) else { continue };
        for operation in provider.manifest.operations.values() {
            let score = score(&words, connection, operation);
            if score > 0 {
                found.push((score, connection, provider, operation));
            }
        }
    }
    // A typed operation of the same score is worth more, and a name that is shorter is closer.
    found.sort_by_key(|(score, _, _, operation)| {
        (Reverse(*score), operation.input.is_none(), operation.name.as_str().len())
    });
    let details: Vec<_> = found
        .into_iter()
        .take(most)
        .map(|(_, connection, provider, operation)| detail(connection, &provider.manifest, operation))
        .collect();
    answer::json(&details)
}

fn score(words: &[&str], connection: &Connection, operation: &Operation) -> u32 {
    let name = operation.name.as_str();
    let (title, description) = (operation.title.to_lowercase(), operation.description.to_lowercase());
    words.iter().fold(0, |score, word| {
        let stem = word.strip_suffix('s').unwrap_or(word);
        score
            + if name.split(['.', '_', '-']).any(|part| part == *word || part.strip_suffix('s').unwrap_or(part) == stem)
            {
                6
            } else if name.contains(stem) {
                4
            } else if title.contains(stem) {
                3
            } else if description.contains(stem)
                || connection.name.as_str().contains(word)
                || connection.provider.as_str() == *word
            {
                1
            } else {
                0
            }
    })
}

fn operation_summary(connection: &Connection, manifest: &Manifest, operation: &Operation) -> OperationSummary {
    OperationSummary {
        connection: connection.name.clone(),
        name: operation.name.clone(),
        title: operation.title.clone(),
        effect: manifest.effect_of(operation),
        decision: connection.accepted.get(&operation.name).copied().unwrap_or(Suggestion::Deny),
        typed: operation.input.is_some(),
        endpoints: manifest
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.operation == operation.name)
            .map(ToString::to_string)
            .collect(),
    }
}

fn detail(connection: &Connection, manifest: &Manifest, operation: &Operation) -> OperationDetail {
    OperationDetail {
        summary: operation_summary(connection, manifest, operation),
        description: operation.description.clone(),
        input: operation.input.as_ref().map(|schema| schema.document().clone()),
    }
}

pub(crate) fn providers(shared: &Shared) -> Result<Answered, Fault> {
    let summaries: Vec<_> = shared.providers.iter().map(provider_summary).collect();
    answer::json(&summaries)
}

fn provider_summary(provider: &Provider) -> ProviderSummary {
    let manifest = &provider.manifest;
    ProviderSummary {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        title: manifest.title.clone(),
        description: manifest.description.clone(),
        digest: provider.digest.to_string(),
        protocol: manifest.protocol,
        origins: manifest.origins.iter().map(ToString::to_string).collect(),
        slots: manifest
            .slots
            .iter()
            .map(|slot| SlotSummary {
                name: slot.name.clone(),
                required: slot.required,
                usual_names: slot.usual_names.clone(),
                description: slot.description.clone(),
            })
            .collect(),
        settings: manifest
            .settings
            .iter()
            .map(|setting| SettingSummary {
                name: setting.name.clone(),
                default: setting.default.clone(),
                required: setting.required,
                description: setting.description.clone(),
            })
            .collect(),
        operations: count(manifest.operations.values().map(|operation| operation.suggest)),
    }
}

pub(crate) fn parse_connection(name: &str) -> Result<ConnectionName, Fault> {
    ConnectionName::parse(name).map_err(|error| Fault::usage(error.to_string()))
}
