//! Tokens that let somebody in: EdDSA JWTs (RFC 7519, RFC 8037) that this focus itself signs, for one conference, for
//! minutes, for one use.
//!
//! Whoever authorises (the `--dev` page now, Matrix later) mints one; the client shows it in `hello`; [`Verifier`] turns it
//! into a [`Grant`]. Time and randomness are arguments. That it is used once
//! is kept by [`Control`](crate::Control).

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use focus_signaling::limits::TOKEN_BYTES_MAX;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::id::Private;
use crate::origin::Origin;
use crate::used_tokens::Mark;

/// Long enough to load a page and choose a camera.
pub const LIFETIME_DEFAULT: Duration = Duration::from_secs(120);
/// Longer-lived tokens are refused even when well signed: their ids would have to be remembered for longer.
pub const LIFETIME_MAX: Duration = Duration::from_secs(600);
/// How much the minter's clock may be ahead of ours.
const EARLY_LEEWAY: Duration = Duration::from_secs(60);
/// How long after its end a token that was on its way is still good.
pub(crate) const LATE_LEEWAY: Duration = Duration::from_secs(5);

/// Bytes of an identity and of a conference name: those of a Matrix id.
const WORD_BYTES_MAX: usize = 255;
const NAME_CHARS_MAX: usize = 64;
/// Ours have 22.
const JTI_BYTES_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    conference: String,
    name: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    publish: bool,
    #[serde(rename = "org.rust_sfu.origin", default, skip_serializing_if = "Option::is_none")]
    origin: Option<OriginClaim>,
}

#[derive(Serialize, Deserialize)]
struct OriginClaim {
    user: String,
    server: String,
    room: String,
    create: bool,
}

/// What a token grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub(crate) identity: Private,
    pub(crate) conference: Private,
    pub(crate) name: Private,
    pub(crate) publish: bool,
    pub(crate) origin: Option<Origin>,
    /// Its id is of no use but to know it again.
    pub(crate) jti: Mark,
    /// Since 1970, in whole seconds.
    pub(crate) issued: Duration,
    /// Since 1970; the token is refused after this and [`LATE_LEEWAY`].
    pub(crate) expires: Duration,
}

/// Why a token is refused. The texts reach the client, which may be anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("token is too long")]
    TooLong,
    #[error("token is malformed or lacks a claim")]
    Malformed,
    #[error("token is not signed with EdDSA")]
    Algorithm,
    #[error("token signature is wrong")]
    Signature,
    #[error("token is for another focus")]
    OtherFocus,
    #[error("token is not valid yet")]
    TooEarly,
    #[error("token has expired")]
    Expired,
    #[error("token lives longer than {} s", LIFETIME_MAX.as_secs())]
    TooLongLived,
    #[error("token has been used")]
    Used,
}

/// Checks tokens against the focus's public key.
#[derive(Clone)]
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    pub fn new(public_key: &[u8; 32], focus: &str) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[focus]);
        validation.set_audience(&[focus]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // These would read the system's clock; `check_times` does it.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { key: DecodingKey::from_ed_der(public_key), validation }
    }

    /// `unix_now`: time since 1970.
    pub fn verify(&self, token: &str, unix_now: Duration) -> Result<Grant, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let decoded =
            jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).map_err(|error| match error.kind() {
                ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
                ErrorKind::InvalidSignature => TokenError::Signature,
                ErrorKind::InvalidAudience | ErrorKind::InvalidIssuer => TokenError::OtherFocus,
                _ => TokenError::Malformed,
            })?;
        // We understand no extension, and one marked critical must be understood (RFC 7515 §4.1.11).
        if decoded.header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let claims = decoded.claims;
        check_times(&claims, unix_now)?;
        let word = |word: &str| !word.is_empty() && word.len() <= WORD_BYTES_MAX;
        let jti = !claims.jti.is_empty() && claims.jti.len() <= JTI_BYTES_MAX;
        let origin = claims.origin.as_ref().is_none_or(|o| word(&o.user) && word(&o.server) && word(&o.room));
        if !(word(&claims.sub) && word(&claims.conference) && origin && jti && is_name(&claims.name)) {
            return Err(TokenError::Malformed);
        }
        Ok(Grant {
            identity: Private(claims.sub),
            conference: Private(claims.conference),
            name: Private(claims.name),
            publish: claims.publish,
            origin: claims.origin.map(|o| Origin::new(&o.user, &o.server, &o.room, o.create)),
            jti: Mark::of(&claims.jti),
            issued: Duration::from_secs(claims.iat),
            expires: Duration::from_secs(claims.exp),
        })
    }
}

fn check_times(claims: &Claims, now: Duration) -> Result<(), TokenError> {
    let [iat, nbf, exp] = [claims.iat, claims.nbf, claims.exp].map(Duration::from_secs);
    match exp.checked_sub(iat) {
        None | Some(Duration::ZERO) => return Err(TokenError::Expired),
        Some(lifetime) if lifetime > LIFETIME_MAX => return Err(TokenError::TooLongLived),
        Some(_) => {}
    }
    if iat.max(nbf) > now + EARLY_LEEWAY {
        return Err(TokenError::TooEarly);
    }
    if now > exp.saturating_add(LATE_LEEWAY) {
        return Err(TokenError::Expired);
    }
    Ok(())
}

/// Shown to others as it is, so it has no control characters, which would break a line somewhere.
fn is_name(name: &str) -> bool {
    name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(char::is_control)
}

/// What is to be minted.
#[derive(Clone)]
pub struct Mint<'a> {
    /// Opaque, 1 to 255 bytes. Joining a conference again under one identity replaces the earlier session.
    pub identity: &'a str,
    /// Opaque, 1 to 255 bytes.
    pub conference: &'a str,
    /// To show, at most 64 characters, may be empty.
    pub name: &'a str,
    /// Whether the participant may publish.
    pub publish: bool,
    /// See [`LIFETIME_DEFAULT`].
    pub lifetime: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    #[error("not a usable Ed25519 key")]
    Key,
    #[error("identity must have 1 to {WORD_BYTES_MAX} bytes")]
    Identity,
    #[error("conference must have 1 to {WORD_BYTES_MAX} bytes")]
    Conference,
    #[error("each word of the origin must have 1 to {WORD_BYTES_MAX} bytes")]
    Origin,
    #[error("name must have at most {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    #[error("lifetime must be 1 to {} s", LIFETIME_MAX.as_secs())]
    Lifetime,
    #[error("signing failed")]
    Sign,
}

/// Signs tokens.
#[derive(Clone)]
pub struct Minter {
    key: EncodingKey,
    public_key: [u8; 32],
    focus: String,
}

impl Minter {
    /// `seed`: the Ed25519 private key (RFC 8032 §5.1.5).
    pub fn from_seed(seed: &[u8; 32], focus: impl Into<String>) -> Result<Self, MintError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| MintError::Key)?;
        let document = pair.to_pkcs8v1().map_err(|_| MintError::Key)?;
        let public_key = pair.public_key().as_ref().try_into().map_err(|_| MintError::Key)?;
        Ok(Self { key: EncodingKey::from_ed_der(document.as_ref()), public_key, focus: focus.into() })
    }

    pub fn generate(rng: &mut impl CryptoRng, focus: impl Into<String>) -> Result<Self, MintError> {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self::from_seed(&seed, focus)
    }

    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    pub fn verifier(&self) -> Verifier {
        Verifier::new(&self.public_key, &self.focus)
    }

    /// `unix_now`: time since 1970. `rng` gives the token's id.
    pub fn mint(&self, mint: &Mint<'_>, unix_now: Duration, rng: &mut impl CryptoRng) -> Result<String, MintError> {
        self.mint_for(mint, None, unix_now, rng)
    }

    /// Also says where the holder comes from, so that it is counted, watched and can be removed.
    pub fn mint_for(
        &self,
        mint: &Mint<'_>,
        origin: Option<&Origin>,
        unix_now: Duration,
        rng: &mut impl CryptoRng,
    ) -> Result<String, MintError> {
        let word = |word: &str| !word.is_empty() && word.len() <= WORD_BYTES_MAX;
        if !word(mint.identity) {
            return Err(MintError::Identity);
        }
        if !word(mint.conference) {
            return Err(MintError::Conference);
        }
        if origin.is_some_and(|o| ![&o.user, &o.server, &o.room].into_iter().all(|w| word(&w.0))) {
            return Err(MintError::Origin);
        }
        if !is_name(mint.name) {
            return Err(MintError::Name);
        }
        if mint.lifetime.as_secs() == 0 || mint.lifetime > LIFETIME_MAX {
            return Err(MintError::Lifetime);
        }
        let mut jti = [0; 16];
        rng.fill_bytes(&mut jti);
        let iat = unix_now.as_secs();
        let claims = Claims {
            iss: self.focus.clone(),
            aud: self.focus.clone(),
            sub: mint.identity.to_owned(),
            conference: mint.conference.to_owned(),
            name: mint.name.to_owned(),
            jti: URL_SAFE_NO_PAD.encode(jti),
            iat,
            nbf: iat,
            exp: iat + mint.lifetime.as_secs(),
            publish: mint.publish,
            origin: origin.map(|o| OriginClaim {
                user: o.user.0.clone(),
                server: o.server.0.clone(),
                room: o.room.0.clone(),
                create: o.create,
            }),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.key).map_err(|_| MintError::Sign)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
