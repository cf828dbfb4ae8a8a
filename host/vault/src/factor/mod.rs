//! What a person proves to be there with: the passphrase, the codes of an authenticator app, recovery codes on paper.
//!
//! A proof is a value of [`FactorProof`] that nothing but this module makes. Nobody is told how a try came out before it is
//! on the disk: what was right is spent for ever, what was wrong is counted, and killing the process undoes neither.
//! No clock is read here.

mod record;
mod recovery;
#[cfg(test)]
mod tests;
mod totp;

use zeroize::Zeroizing;

use self::record::Enrolled;
use self::totp::{Digits, SEED_BYTES};
use crate::attempts::{Gate, Pace};
use crate::error::{Damage, UnlockError, WriteError};
use crate::format::DocumentKind;
use crate::passphrase::Passphrase;
use crate::random::{self, RandomError};
use crate::unlocked::Unlocked;

/// The document's name; there is one app.
const TOTP: &str = "totp";
/// Five are typing errors and clocks that are off; then a minute, doubling to a quarter of an hour. Three codes of a million
/// are right at any time, so half a year of tries without a pause has about one chance in five.
const PACE: Pace = Pace { free: 5, first_ms: 60_000, longest_ms: 900_000 };

/// Proof that a person was there just now.
///
/// ```compile_fail
/// let proof = kv_vault::FactorProof { kind: kv_vault::ProofKind::Totp };
/// ```
#[derive(Debug)]
#[must_use]
pub struct FactorProof {
    kind: ProofKind,
}

/// What was proved, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProofKind {
    Passphrase,
    Recovery,
    Totp,
}

/// A seed that no code has confirmed yet. It is in no file, and is wiped when dropped.
pub struct TotpEnrolment {
    seed: Zeroizing<[u8; SEED_BYTES]>,
}

/// To be shown once.
pub struct RecoveryCodes(Vec<Zeroizing<String>>);

/// What is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorsState {
    pub totp: Option<TotpState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotpState {
    pub since_ms: u64,
    pub recovery_codes_left: usize,
    /// Wrong tries in a row.
    pub failures: u32,
    /// No try is taken before.
    pub paused_until_ms: Option<u64>,
}

/// Why a proof did not count.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    #[error("an authenticator app is enrolled already")]
    AlreadyEnrolled,
    #[error("the vault is damaged")]
    Damaged(#[from] Damage),
    #[error("this is no code: six digits, or a recovery code as it was written down")]
    NotACode,
    #[error("no authenticator app is enrolled")]
    NotEnrolled,
    #[error("the passphrase was not accepted")]
    Passphrase(#[source] UnlockError),
    #[error("too many wrong codes: wait {} s", .retry_after_ms.div_ceil(1000))]
    Paused { retry_after_ms: u64 },
    #[error("no seed was made")]
    Random(#[from] RandomError),
    #[error("this code has been used: wait for the next one")]
    Used,
    #[error("the passphrase is not enough here: an authenticator app is enrolled")]
    Weaker,
    #[error("the code could not be judged")]
    Write(#[from] WriteError),
    #[error("the code is wrong; {left_before_pause} more tries before a pause")]
    Wrong { left_before_pause: u32 },
}

impl Unlocked {
    /// What is enrolled now.
    pub fn factors(&self) -> Result<FactorsState, Damage> {
        let enrolled = self.document(DocumentKind::Factor, TOTP)?.map(|bytes| Enrolled::decode(&bytes)).transpose()?;
        let totp = enrolled.map(|enrolled| TotpState {
            since_ms: enrolled.since_ms,
            recovery_codes_left: enrolled.recovery.len(),
            failures: enrolled.attempts.failed,
            paused_until_ms: enrolled.attempts.paused_until_ms(PACE),
        });
        Ok(FactorsState { totp })
    }

    /// A new seed, which counts once [`Unlocked::confirm_totp`] has seen a code of it.
    pub fn begin_totp(&self) -> Result<TotpEnrolment, FactorError> {
        if self.factors()?.totp.is_some() {
            return Err(FactorError::AlreadyEnrolled);
        }
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        random::fill(seed.as_mut())?;
        Ok(TotpEnrolment { seed })
    }

    /// Enrols, if the code is right; the code is spent by it. A wrong one gives the seed back, for another try.
    pub fn confirm_totp(
        &self,
        enrolment: TotpEnrolment,
        code: &str,
        now_ms: u64,
    ) -> Result<RecoveryCodes, (FactorError, Option<TotpEnrolment>)> {
        let Some(digits) = Digits::parse(code) else { return Err((FactorError::NotACode, Some(enrolment))) };
        let Some(step) = totp::step_of(&enrolment.seed, digits, now_ms) else {
            return Err((FactorError::Wrong { left_before_pause: PACE.free }, Some(enrolment)));
        };
        self.enrol(&enrolment.seed, step, now_ms).map_err(|error| (error, None))
    }

    fn enrol(&self, seed: &[u8; SEED_BYTES], step: u64, now_ms: u64) -> Result<RecoveryCodes, FactorError> {
        let codes = (0..recovery::COUNT).map(|_| recovery::generate()).collect::<Result<Vec<_>, _>>()?;
        let hashes = codes.iter().filter_map(|code| recovery::hash(seed, &recovery::canonical(code)?)).collect();
        let enrolled = Enrolled {
            since_ms: now_ms,
            last_step: step,
            attempts: crate::attempts::Attempts::NONE,
            seed: Zeroizing::new(*seed),
            recovery: hashes,
        };
        self.edit_document(DocumentKind::Factor, TOTP, |there| match there {
            Some(_) => (None, Err(FactorError::AlreadyEnrolled)),
            None => (Some(enrolled.encode()), Ok(())),
        })??;
        Ok(RecoveryCodes(codes))
    }

    /// Judges a code of the app, or a recovery code.
    pub fn verify_factor(&self, code: &str, now_ms: u64) -> Result<FactorProof, FactorError> {
        if Digits::parse(code).is_none() && recovery::canonical(code).is_none() {
            return Err(FactorError::NotACode);
        }
        self.edit_document(DocumentKind::Factor, TOTP, |there| {
            let Some(bytes) = there else { return (None, Err(FactorError::NotEnrolled)) };
            match Enrolled::decode(bytes) {
                Ok(mut enrolled) => {
                    let judged = enrolled.judge(code, now_ms);
                    (Some(enrolled.encode()), judged)
                }
                Err(damage) => (None, Err(damage.into())),
            }
        })?
    }

    /// Judges the passphrase, counted like an unlock. Whether it is enough is for the caller to say.
    pub fn verify_passphrase_factor(&self, passphrase: &Passphrase, now_ms: u64) -> Result<FactorProof, FactorError> {
        self.verify_passphrase(passphrase, now_ms).map_err(FactorError::Passphrase)?;
        Ok(FactorProof { kind: ProofKind::Passphrase })
    }

    /// Removes the app and its recovery codes. Whoever may do that has just proved to hold one of them.
    pub fn remove_totp(&self, proof: &FactorProof) -> Result<(), FactorError> {
        match proof.kind {
            ProofKind::Passphrase => return Err(FactorError::Weaker),
            ProofKind::Recovery | ProofKind::Totp => {}
        }
        if self.remove_document(DocumentKind::Factor, TOTP)? { Ok(()) } else { Err(FactorError::NotEnrolled) }
    }
}

impl Enrolled {
    /// What a code comes to, and what is to be remembered of it.
    fn judge(&mut self, code: &str, now_ms: u64) -> Result<FactorProof, FactorError> {
        let counted = match self.attempts.gate_by(PACE, now_ms) {
            Gate::TooSoon { retry_after_ms, keep } => {
                self.attempts = keep;
                return Err(FactorError::Paused { retry_after_ms });
            }
            Gate::Counted(counted) => counted,
        };
        let kind = match Digits::parse(code) {
            Some(digits) => match totp::step_of(&self.seed, digits, now_ms) {
                Some(step) if step > self.last_step => {
                    self.last_step = step;
                    Ok(ProofKind::Totp)
                }
                Some(_) => Err(FactorError::Used),
                None => Err(self.wrong(counted.failed)),
            },
            None => {
                let hash = recovery::canonical(code).and_then(|code| recovery::hash(&self.seed, &code));
                match hash.and_then(|hash| recovery::find(&self.recovery, &hash)) {
                    Some(index) => {
                        self.recovery.remove(index);
                        Ok(ProofKind::Recovery)
                    }
                    None => Err(self.wrong(counted.failed)),
                }
            }
        };
        self.attempts = if kind.is_ok() { crate::attempts::Attempts::NONE } else { counted };
        kind.map(|kind| FactorProof { kind })
    }

    fn wrong(&self, failed: u32) -> FactorError {
        FactorError::Wrong { left_before_pause: PACE.free.saturating_sub(failed) }
    }
}

impl FactorProof {
    pub fn kind(&self) -> ProofKind {
        self.kind
    }
}

impl TotpEnrolment {
    /// For a QR code. `account` is what the app shows beside `kv`.
    pub fn uri(&self, account: &str) -> Zeroizing<String> {
        let account: String =
            account.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')).collect();
        Zeroizing::new(format!(
            "otpauth://totp/kv:{account}?secret={}&issuer=kv&algorithm=SHA1&digits=6&period=30",
            *self.secret_base32()
        ))
    }

    /// To be typed into an app that cannot scan.
    pub fn secret_base32(&self) -> Zeroizing<String> {
        totp::base32(self.seed.as_slice())
    }
}

impl RecoveryCodes {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|code| code.as_str())
    }
}

impl FactorError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            FactorError::AlreadyEnrolled => "factor.enrolled",
            FactorError::Damaged(_) => "factor.damaged",
            FactorError::NotACode => "factor.not_a_code",
            FactorError::NotEnrolled => "factor.not_enrolled",
            FactorError::Passphrase(UnlockError::WrongPassphrase { .. }) => "wrong_passphrase",
            FactorError::Passphrase(UnlockError::TooSoon { .. }) => "too_soon",
            FactorError::Passphrase(_) => "factor.passphrase",
            FactorError::Paused { .. } => "factor.paused",
            FactorError::Random(_) => "factor.random",
            FactorError::Used => "factor.used",
            FactorError::Weaker => "factor.weaker",
            FactorError::Write(_) => "factor.write",
            FactorError::Wrong { .. } => "factor.wrong",
        }
    }

    /// How long the next try has to wait.
    pub fn retry_after_ms(&self) -> u64 {
        match self {
            FactorError::Paused { retry_after_ms }
            | FactorError::Passphrase(UnlockError::TooSoon { retry_after_ms }) => *retry_after_ms,
            _ => 0,
        }
    }
}
