//! The providers that this daemon has, by name.

use std::collections::BTreeMap;

use kv_model::{Connection, ProviderName, Slot};
use kv_runtime::{Provider, Runtime};

use crate::fault::Fault;

/// A provider that came with the program.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    pub name: &'static str,
    pub component: &'static [u8],
    /// The same component, compiled by our own build; as trusted as the program that it is part of.
    pub compiled: &'static [u8],
}

pub(crate) struct Providers(BTreeMap<ProviderName, Provider>);

impl Providers {
    pub(crate) fn load(runtime: &Runtime, builtins: &[Builtin]) -> Result<Self, String> {
        let mut providers = BTreeMap::new();
        for builtin in builtins {
            let provider = runtime
                .load_trusted(builtin.component, builtin.compiled)
                .map_err(|error| format!("the built-in provider `{}` does not load: {error}", builtin.name))?;
            providers.insert(provider.manifest.name.clone(), provider);
        }
        Ok(Self(providers))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.values()
    }

    pub(crate) fn find(&self, name: &ProviderName) -> Result<&Provider, Fault> {
        self.0.get(name).ok_or_else(|| Fault::no_provider(name, self.0.keys()))
    }

    /// The provider of a connection, if it is still the very component that the person saw.
    pub(crate) fn of(&self, connection: &Connection) -> Result<&Provider, Fault> {
        let provider = self.find(&connection.provider)?;
        if provider.digest == connection.provider_digest {
            Ok(provider)
        } else {
            Err(Fault::provider_changed(connection))
        }
    }

    /// The provider and slot that a secret of this name usually is for.
    pub(crate) fn recognise(&self, secret: &str) -> Option<(&Provider, &Slot)> {
        self.iter().find_map(|provider| provider.manifest.slot_for(secret).map(|slot| (provider, slot)))
    }
}

/// What a value is, as far as its beginning tells: "test key".
pub(crate) fn label(slot: &Slot, value: &[u8]) -> Option<String> {
    slot.prefixes.iter().find(|known| value.starts_with(known.prefix.as_bytes())).map(|known| known.label.clone())
}
