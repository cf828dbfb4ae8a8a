//! From a connection to a session: who we are, and the password in a form that the person allowed.
//!
//! The server says what it wants to see; what the connection does not allow is never made, let alone sent. A login in
//! which the server was to prove itself is over only when it has.

use super::error::{AuthRequest, DatabaseError};
use super::link::Link;
use super::scram::{self, Binding, First, Odd, ServerKnows};
use super::target::{Credential, PasswordAuth, Target};
use super::wire::{Authentication, Broken, Message, ServerError, Status};
use crate::error::{SendError, Sent};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// What the login runs over.
pub(super) enum Channel {
    Plain,
    /// `end_point`: what SCRAM is bound to, if the server's certificate can be hashed for it.
    Tls {
        end_point: Option<Vec<u8>>,
    },
}

/// How the server came to believe us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthMethod {
    Cleartext,
    Md5,
    /// A client certificate, or a server that asks nobody for anything.
    NotAsked,
    Scram,
    ScramBound,
}

pub(super) struct Welcome {
    pub(super) auth: AuthMethod,
    pub(super) process: u32,
    pub(super) secret: u32,
}

pub(super) async fn login(
    link: &mut Link,
    target: &Target,
    credential: &Credential,
    channel: Channel,
    settings: &[(&str, String)],
) -> Result<Welcome, SendError> {
    // These are what every pooler lets pass.
    let mut parameters = vec![
        ("user", target.user.as_str()),
        ("database", &target.database),
        ("application_name", "kv"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, YMD"),
        ("TimeZone", "UTC"),
        ("standard_conforming_strings", "on"),
    ];
    parameters.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));
    link.out().startup(&parameters);
    link.flush().await.map_err(lost)?;
    let auth = authenticate(link, target, credential, channel).await?;
    let mut key = None;
    // Settings and notices are counted by the link; one key and the end of it are all that may come else.
    loop {
        match link.next().await.map_err(lost)? {
            Message::KeyData { process, secret } if key.is_none() => key = Some((process, secret)),
            Message::Ready(Status::Idle) => break,
            Message::Error(error) => return Err(refused(&error).into()),
            _ => return Err(protocol()),
        }
    }
    // A pooler without cancelling sends none; a request with zeroes cancels nothing.
    let (process, secret) = key.unwrap_or((0, 0));
    Ok(Welcome { auth, process, secret })
}

async fn authenticate(
    link: &mut Link,
    target: &Target,
    credential: &Credential,
    channel: Channel,
) -> Result<AuthMethod, SendError> {
    let allow = |asked, least| {
        if target.allowed >= least { Ok(()) } else { Err(SendError::from(DatabaseError::Auth { asked })) }
    };
    let password = || credential.password.as_ref().ok_or(DatabaseError::PasswordMissing);
    let method = match request(link).await? {
        Authentication::Ok => {
            // Whoever answers in the server's place asks for nothing. TLS has told them apart; without it only SCRAM does.
            let unproven = matches!(channel, Channel::Plain) && credential.password.is_some();
            return if unproven { Err(DatabaseError::ServerUnproven.into()) } else { Ok(AuthMethod::NotAsked) };
        }
        Authentication::Cleartext => {
            allow(AuthRequest::Cleartext, PasswordAuth::Cleartext)?;
            link.out().password(password()?);
            AuthMethod::Cleartext
        }
        Authentication::Md5 { salt } => {
            allow(AuthRequest::Md5, PasswordAuth::Md5)?;
            let answer = md5_answer(&target.user, password()?, salt);
            link.out().password(answer.as_bytes());
            AuthMethod::Md5
        }
        Authentication::Sasl { mechanisms } => {
            let offers = |name: &str| mechanisms.iter().any(|offered| offered == name);
            let (binding, method) = match channel {
                Channel::Tls { end_point: Some(hash) } if offers(scram::PLUS) => {
                    (Binding::Bound(hash), AuthMethod::ScramBound)
                }
                Channel::Plain if offers(scram::PLAIN) => (Binding::Impossible, AuthMethod::Scram),
                Channel::Tls { end_point } if offers(scram::PLAIN) => {
                    allow(AuthRequest::Unbound, PasswordAuth::ScramUnbound)?;
                    // `y` says that we could have; where we could not, it would be a lie that ends the login.
                    (if end_point.is_some() { Binding::NotOffered } else { Binding::Impossible }, AuthMethod::Scram)
                }
                _ => return Err(DatabaseError::Auth { asked: AuthRequest::Other }.into()),
            };
            let ServerKnows { .. } = prove(link, password()?, binding).await?;
            method
        }
        Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => return Err(protocol()),
        Authentication::Other => return Err(DatabaseError::Auth { asked: AuthRequest::Other }.into()),
    };
    link.flush().await.map_err(lost)?;
    match request(link).await? {
        Authentication::Ok => Ok(method),
        _ => Err(protocol()),
    }
}

async fn prove(link: &mut Link, password: &Zeroizing<Vec<u8>>, binding: Binding) -> Result<ServerKnows, SendError> {
    let mechanism = if matches!(binding, Binding::Bound(_)) { scram::PLUS } else { scram::PLAIN };
    let mut random = [0; 18];
    SystemRandom::new().fill(&mut random).map_err(|_| SendError::Request)?;
    let first = First::new(binding, random);
    link.out().sasl_initial(mechanism, first.message().as_bytes());
    link.flush().await.map_err(lost)?;
    let Authentication::SaslContinue(challenge) = request(link).await? else { return Err(protocol()) };
    let challenge = first.challenge(&challenge).map_err(|odd| match odd {
        Odd::NoChallenge => protocol(),
        Odd::Weak { rounds, least } => DatabaseError::WeakProof { rounds, least }.into(),
    })?;
    // Thousands of rounds, by the server's choice: not on the thread that serves everybody else.
    let password = password.clone();
    let proving = tokio::task::spawn_blocking(move || challenge.prove(&password));
    let (proof, proved) = proving.await.ok().flatten().ok_or_else(protocol)?;
    link.out().sasl_response(proof.as_bytes());
    link.flush().await.map_err(lost)?;
    let Authentication::SaslFinal(last) = request(link).await? else { return Err(protocol()) };
    proved.accept(&last).ok_or_else(|| DatabaseError::ServerUnproven.into())
}

/// `md5(md5(password, user), salt)`, in hex: what the server stores is enough to log in with, which is why nobody should.
fn md5_answer(user: &str, password: &[u8], salt: [u8; 4]) -> String {
    let whole = Zeroizing::new([password, user.as_bytes()].concat());
    let inner = format!("{:x}", md5::compute(&*whole));
    format!("md5{:x}", md5::compute([inner.as_bytes(), &salt].concat()))
}

async fn request(link: &mut Link) -> Result<Authentication, SendError> {
    match link.next().await.map_err(lost)? {
        Message::Authentication(request) => Ok(request),
        Message::Error(error) => Err(refused(&error).into()),
        _ => Err(protocol()),
    }
}

fn refused(error: &ServerError) -> DatabaseError {
    let code = error.code.clone();
    // Class 28: wrong user, wrong password, or a host that `pg_hba.conf` does not let in.
    if code.starts_with("28") { DatabaseError::LoginRefused { code } } else { DatabaseError::SessionRefused { code } }
}

fn lost(broken: Broken) -> SendError {
    match broken {
        Broken::Lost => SendError::Connect,
        Broken::Protocol | Broken::Row => protocol(),
    }
}

fn protocol() -> SendError {
    DatabaseError::Protocol { sent: Sent::No }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5() {
        assert_eq!(
            md5_answer("md5_user", b"password", [0x2a, 0x3d, 0x8f, 0xe0]),
            "md562af4dd09bbb41884907a838a3233294"
        );
    }
}
