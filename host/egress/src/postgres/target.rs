//! What a person wrote about a database, beside its address: user, database, how to trust it.

use kv_model::SettingName;
use zeroize::Zeroizing;

use super::error::DatabaseError;
use crate::error::SendError;
use crate::inject::{Login, LoginPart, Source};

/// Which session a statement runs in. Two that differ in any of it never share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) user: String,
    pub(super) database: String,
    pub(super) tls: TlsMode,
    pub(super) allowed: PasswordAuth,
    /// What names without a schema mean, where the person fixed it. Otherwise the role's own setting stands; a caller's
    /// never outlives the caller's statement.
    pub(super) search_path: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TlsMode {
    Off,
    /// The certificate is from the connection's own authority, for whatever name.
    VerifyCa,
    VerifyFull,
}

/// The weakest way to show a password that the person allowed. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PasswordAuth {
    /// SCRAM, bound to the TLS session where there is one.
    Scram,
    /// SCRAM that is not bound, which is all that some poolers can do.
    ScramUnbound,
    Md5,
    Cleartext,
}

/// What the login may need. The bytes are wiped when it is dropped, which is when the session is open.
pub(super) struct Credential {
    pub(super) password: Option<Zeroizing<Vec<u8>>>,
    pub(super) client: Option<ClientPair>,
}

/// PEM text of a certificate with its chain, and of its key.
pub(super) struct ClientPair {
    pub(super) certificate: Zeroizing<Vec<u8>>,
    pub(super) key: Zeroizing<Vec<u8>>,
}

impl Target {
    pub(super) fn new(source: &Source<'_>, user: String) -> Result<Self, SendError> {
        let tls = match source.optional_setting("tls")? {
            None | Some("verify-full") => TlsMode::VerifyFull,
            Some("verify-ca") => TlsMode::VerifyCa,
            Some("off") => TlsMode::Off,
            Some(_) => return Err(setting("tls")),
        };
        // Any certificate of a public authority would do: that is no check at all.
        if tls == TlsMode::VerifyCa && source.connection.ca.is_none() {
            return Err(setting("tls"));
        }
        let allowed = match source.optional_setting("password-auth")? {
            None | Some("scram") => PasswordAuth::Scram,
            Some("scram-unbound") => PasswordAuth::ScramUnbound,
            Some("md5") => PasswordAuth::Md5,
            Some("cleartext") => PasswordAuth::Cleartext,
            Some(_) => return Err(setting("password-auth")),
        };
        let database = source.optional_setting("database")?.unwrap_or(&user).to_owned();
        let search_path = source.optional_setting("search-path")?.map(str::to_owned);
        for (name, value) in [("user", &user), ("database", &database)] {
            if value.is_empty() || value.len() > MAX_NAME || value.bytes().any(|b| b.is_ascii_control()) {
                return Err(setting(name));
            }
        }
        Ok(Target { user, database, tls, allowed, search_path })
    }
}

impl Credential {
    /// The parts of a login that a database takes.
    pub(super) fn new(login: Login) -> Result<Self, SendError> {
        let Login { user: _, password, key, passphrase: _, certificate } = login;
        let bytes = |part: LoginPart| part.bytes;
        let password = password.map(bytes);
        if password.as_ref().is_some_and(|password| password.contains(&0)) {
            return Err(DatabaseError::PasswordUnfit.into());
        }
        let client = match (certificate.map(bytes), key.map(bytes)) {
            (Some(certificate), Some(key)) => Some(ClientPair { certificate, key }),
            (None, None) => None,
            _ => return Err(DatabaseError::ClientCertificate.into()),
        };
        Ok(Credential { password, client })
    }
}

fn setting(name: &str) -> SendError {
    // The names above are all settings' names.
    SettingName::parse(name).map_or(SendError::Request, |setting| SendError::Setting { setting })
}

/// Names of PostgreSQL have 63 bytes; poolers that find their tenant in the user's name allow a few more.
const MAX_NAME: usize = 255;
