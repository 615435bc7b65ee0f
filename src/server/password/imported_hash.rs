//! Hashes of imported users: LeanCloud's own, and bcrypt's. They are only checked; the first login replaces them by Argon2id.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

/// Rounds of LeanCloud's hash after the first.
const LEANCLOUD_ROUNDS: usize = 512;

/// The highest accepted cost of bcrypt: about four seconds. A hash of a higher cost fits no password, since it would hold a
/// thread for minutes.
const BCRYPT_COST_MAX: u32 = 16;

/// Checks LeanCloud's hash: SHA-512 of salt and password, hashed 512 times more, in base64.
pub(super) fn fits_leancloud(hash: &str, salt: &str, password: &str) -> bool {
    let Ok(stored) = BASE64_STANDARD.decode(hash) else {
        return false;
    };
    let mut computed = Sha512::new().chain_update(salt).chain_update(password).finalize();
    for _ in 0..LEANCLOUD_ROUNDS {
        computed = Sha512::digest(computed);
    }
    computed.as_slice().ct_eq(&stored).into()
}

/// True for a hash of bcrypt.
pub(super) fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .any(|version| hash.starts_with(version))
}

/// Checks a hash of bcrypt, which reads only the first 72 bytes of a password.
pub(super) fn fits_bcrypt(hash: &str, password: &str) -> bool {
    let cost = hash.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
    if cost.is_none_or(|cost| cost > BCRYPT_COST_MAX) {
        tracing::warn!(cost, "bcrypt cost too high: the user must reset the password");
        return false;
    }
    bcrypt::verify(password, hash).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of LeanCloud's guide.
    #[test]
    fn leancloud_hash_fits_its_password_alone() {
        let salt = "h60d8x797d3oa0naxybxxv9bn7xpt2yiowz68mpiwou7gwr2";
        let hash = "tA7BLW+NK0UeARng0693gCaVnljkglCB9snqlpCSUKjx2RgYp8VZZOQt0S5iUtlDrkJXfT3gknS4rRqjYsd/Ug==";
        assert!(fits_leancloud(hash, salt, "password"));
        assert!(!fits_leancloud(hash, salt, "Password"));
        assert!(!fits_leancloud(hash, "", "password"));
        assert!(!fits_leancloud("", salt, "password"));
        assert!(!fits_leancloud("not base64!", salt, "password"));
    }

    #[test]
    fn bcrypt_hash_fits_its_password_up_to_a_cost() {
        // The published example of OpenBSD's own tests.
        let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert!(is_bcrypt(hash) && fits_bcrypt(hash, "U*U"));
        assert!(!fits_bcrypt(hash, "U*V"));
        let costly = hash.replacen("$05$", "$31$", 1);
        assert!(!fits_bcrypt(&costly, "U*U"));
        for odd in ["$2a$", "$2a$05$", "$2a$xx$CC", "", "$2a$05$é"] {
            assert!(!fits_bcrypt(odd, "U*U"), "{odd}");
        }
    }
}
