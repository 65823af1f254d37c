use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn minter() -> Minter {
    Minter::from_seed(&[7; 32], "focus.example").unwrap()
}

fn mint() -> Mint<'static> {
    let (identity, conference, name) = ("id-of-alice", "standup", "Alice");
    Mint { identity, conference, name, publish: true, lifetime: LIFETIME_DEFAULT }
}

fn token() -> String {
    minter().mint(&mint(), NOW, &mut ChaCha20Rng::from_seed([1; 32])).unwrap()
}

fn verify(token: &str) -> Result<Grant, TokenError> {
    minter().verifier().verify(token, NOW)
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// The claims of a good token, for a test to spoil.
fn claims() -> Value {
    let now = NOW.as_secs();
    json!({"iss": "focus.example", "aud": "focus.example", "sub": "a", "conference": "c", "name": "", "jti": "j",
        "iat": now, "nbf": now, "exp": now + 60, "publish": false})
}

fn sign(header: &Header, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &minter().key).unwrap()
}

fn verify_claims(claims: &Value) -> Result<Grant, TokenError> {
    verify(&sign(&Header::new(Algorithm::EdDSA), claims))
}

#[test]
fn a_minted_token_grants_what_was_minted() {
    let grant = verify(&token()).unwrap();
    assert_eq!((grant.identity.0.as_str(), grant.conference.0.as_str()), ("id-of-alice", "standup"));
    assert_eq!((grant.name.0.as_str(), grant.publish), ("Alice", true));
    assert_eq!(grant.expires, NOW + LIFETIME_DEFAULT);
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token()).unwrap();
    assert_eq!(claims.jti.len(), 22, "128 bits");
    assert_eq!(grant.jti, Mark::of(&claims.jti));
    assert!(!format!("{grant:?}").contains("alice"), "who it is stays out of logs");
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let jti = |rng: &mut _| verify(&minter().mint(&mint(), NOW, rng).unwrap()).unwrap().jti;
    assert_ne!(jti(&mut rng), jti(&mut rng));
}

#[test]
fn times_are_checked_by_the_given_clock() {
    let (token, verifier) = (token(), minter().verifier());
    let at = |now| verifier.verify(&token, now).map(|_| ());
    let end = NOW + LIFETIME_DEFAULT;
    assert_eq!(at(NOW - seconds(60)), Ok(()));
    assert_eq!(at(NOW - seconds(61)), Err(TokenError::TooEarly));
    assert_eq!(at(end + seconds(5)), Ok(()));
    assert_eq!(at(end + seconds(6)), Err(TokenError::Expired));

    let with = |name: &str, value: u64| {
        let mut claims = claims();
        claims[name] = json!(value);
        verify_claims(&claims).map(|_| ())
    };
    let now = NOW.as_secs();
    assert_eq!(with("exp", now + 600), Ok(()));
    assert_eq!(with("exp", now + 601), Err(TokenError::TooLongLived));
    assert_eq!(with("exp", u64::MAX), Err(TokenError::TooLongLived));
    assert_eq!(with("exp", now), Err(TokenError::Expired), "no lifetime at all");
    assert_eq!(with("iat", u64::MAX), Err(TokenError::Expired));
    assert_eq!(with("nbf", now + 61), Err(TokenError::TooEarly));
}

#[test]
fn a_forged_token_is_refused() {
    let good = token();
    assert_eq!(
        Minter::from_seed(&[8; 32], "focus.example").unwrap().verifier().verify(&good, NOW),
        Err(TokenError::Signature)
    );

    let parts: Vec<&str> = good.split('.').collect();
    let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
    assert_eq!(verify(&format!("{}.{payload}.{}", parts[0], parts[2])), Err(TokenError::Signature));
    assert_eq!(verify(&format!("{}.{}.", parts[0], parts[1])), Err(TokenError::Signature));

    for junk in ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", &good[1..], parts[0]] {
        assert_eq!(verify(junk), Err(TokenError::Malformed), "{junk:?}");
    }
    assert_eq!(verify(&"a".repeat(TOKEN_BYTES_MAX + 1)), Err(TokenError::TooLong));
}

#[test]
fn only_eddsa_is_accepted() {
    // The classic: HMAC with the public key, which everybody may know, as its secret.
    let hmac = EncodingKey::from_secret(minter().public_key());
    let confused = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &hmac).unwrap();
    assert_eq!(verify(&confused), Err(TokenError::Algorithm));

    let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
    for none in ["none", "None", "NONE", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({"typ": "JWT", "alg": none}).to_string());
        assert_eq!(verify(&format!("{header}.{payload}.")), Err(TokenError::Malformed), "{none}");
    }
    let mut critical = Header::new(Algorithm::EdDSA);
    critical.crit = Some(vec!["b64".into()]);
    assert_eq!(verify(&sign(&critical, &claims())), Err(TokenError::Malformed));
}

#[test]
fn a_token_of_another_focus_is_refused() {
    for name in ["iss", "aud"] {
        let mut claims = claims();
        claims[name] = json!("other.example");
        assert_eq!(verify_claims(&claims), Err(TokenError::OtherFocus), "{name}");
    }
}

#[test]
fn every_claim_is_needed_and_bounded() {
    assert!(verify_claims(&claims()).is_ok());
    for name in ["iss", "aud", "sub", "conference", "name", "jti", "iat", "nbf", "exp", "publish"] {
        let mut lacking = claims();
        lacking.as_object_mut().unwrap().remove(name);
        assert_eq!(verify_claims(&lacking), Err(TokenError::Malformed), "{name}");
    }
    for (name, most) in [("sub", 255), ("conference", 255), ("jti", 64), ("name", 64)] {
        let mut claims = claims();
        claims[name] = json!("x".repeat(most));
        assert!(verify_claims(&claims).is_ok(), "{name}");
        claims[name] = json!("x".repeat(most + 1));
        assert_eq!(verify_claims(&claims), Err(TokenError::Malformed), "{name}");
        claims[name] = json!("");
        assert_eq!(verify_claims(&claims).is_ok(), name == "name", "{name}");
    }
    let mut claims = claims();
    claims["name"] = json!("a\nb");
    assert_eq!(verify_claims(&claims), Err(TokenError::Malformed));
}

#[test]
fn nothing_is_minted_that_would_be_refused() {
    let long = "x".repeat(256);
    let mint_it = |mint: Mint<'_>| minter().mint(&mint, NOW, &mut ChaCha20Rng::from_seed([1; 32])).map(|_| ());
    assert_eq!(mint_it(mint()), Ok(()));
    assert_eq!(mint_it(Mint { identity: "", ..mint() }), Err(MintError::Identity));
    assert_eq!(mint_it(Mint { identity: &long, ..mint() }), Err(MintError::Identity));
    assert_eq!(mint_it(Mint { conference: "", ..mint() }), Err(MintError::Conference));
    assert_eq!(mint_it(Mint { name: &long, ..mint() }), Err(MintError::Name));
    assert_eq!(mint_it(Mint { lifetime: Duration::ZERO, ..mint() }), Err(MintError::Lifetime));
    assert_eq!(mint_it(Mint { lifetime: seconds(601), ..mint() }), Err(MintError::Lifetime));
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let generated = Minter::generate(&mut rng, "focus.example").unwrap();
    let token = generated.mint(&mint(), NOW, &mut rng).unwrap();
    assert!(Verifier::new(generated.public_key(), "focus.example").verify(&token, NOW).is_ok());
}
