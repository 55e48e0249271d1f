//! Keys made by openssl for these tests, and what it signed with them. The
//! private halves were thrown away.

use base64::engine::general_purpose::STANDARD;

use super::*;

const MESSAGE: &[u8] = b"what is signed";

const ED: &str = "-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEAtAJt5+aswtPenEIsq9/+iT/DRHojUAmkJ+q573yMiF8=\n\
-----END PUBLIC KEY-----";
const EC: &str = "-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9NTGgQs4mW4UzDYwcsH8L0Ch03gH\n\
rR1Avj5djX4I6EiY5wT7by0mOvtlGe7bchaoNBjqgbwp4eDWJPKlEdkk3Q==\n\
-----END PUBLIC KEY-----";
const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApyAPQT82NSVioDsRnvrq\n\
Rpdre6pAujJg/JboPV3D/UoGERIYCzlLx/H70JCMHZv0DjNh5f+GwN0VZxJeDH2p\n\
FjI28xOOjgU15TU0x/4SSMIJl/MkJyvdSnYeqQSthnEjWYjVOiXYQzr3Gpb1flXu\n\
p7Akq4zpSd0c7dT88xzOcNc6k3HG7mWuiqbkms80ruApNOwBB8b64C1WZzWvo4lM\n\
IAzoIsjFUCXc/y5Rbu4BI2KM4hA+9sFivMtKHSpZbhQP9Vcc9Q/mLncVCZW9j5W+\n\
6Wfquzz+AUUkOR0EPo1PeL1KC+xYRLnkAlGaxyPSqtgnZZY/wXsqpx1ekwXa7QNT\n\
4wIDAQAB\n\
-----END PUBLIC KEY-----";
const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC64BLN2EB5q4cPu+va7FPwzry6\n\
xJH4FvSs5oAeauvMTSqhpKSb1REYODjywtvM9hah/rOEElexUf5IDTfCgZqTRMnK\n\
XCrFBN+N6/FwC7mREiZmpPmR7ywtHMRDhRGtPnzO5T/bDut/LPZEzynmUk04u5l1\n\
1UsnWkEWHFWHBGPHBwIDAQAB\n\
-----END PUBLIC KEY-----";
const P384: &str = "-----BEGIN PUBLIC KEY-----\n\
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEArVOYvzOvG9PFntTy3RMaUrAPE2KdiE2\n\
jscqtacRXB2HrUfYTIrumDsdn2a6npGEIWAhjBgdKmgSFaryJJiQcVXGx6H2C7le\n\
Q1zrIDp4B1dxWxObVPGDuMGJ6YI9fF3l\n\
-----END PUBLIC KEY-----";
const RSA_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIDITCCAgmgAwIBAgIUUiM8cXe+gF36g2gw5g8nYdjVYpAwDQYJKoZIhvcNAQEL\n\
BQAwHzEdMBsGA1UEAwwUZml4dHVyZSBvZiB0cmlidXRhcnkwIBcNMjYxMTIxMTQz\n\
ODI3WhgPMjEyNjEwMjgxNDM4MjdaMB8xHTAbBgNVBAMMFGZpeHR1cmUgb2YgdHJp\n\
YnV0YXJ5MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApyAPQT82NSVi\n\
oDsRnvrqRpdre6pAujJg/JboPV3D/UoGERIYCzlLx/H70JCMHZv0DjNh5f+GwN0V\n\
ZxJeDH2pFjI28xOOjgU15TU0x/4SSMIJl/MkJyvdSnYeqQSthnEjWYjVOiXYQzr3\n\
Gpb1flXup7Akq4zpSd0c7dT88xzOcNc6k3HG7mWuiqbkms80ruApNOwBB8b64C1W\n\
ZzWvo4lMIAzoIsjFUCXc/y5Rbu4BI2KM4hA+9sFivMtKHSpZbhQP9Vcc9Q/mLncV\n\
CZW9j5W+6Wfquzz+AUUkOR0EPo1PeL1KC+xYRLnkAlGaxyPSqtgnZZY/wXsqpx1e\n\
kwXa7QNT4wIDAQABo1MwUTAdBgNVHQ4EFgQUAmwhUSLC/nblSLK5Z3XYABk8XOkw\n\
HwYDVR0jBBgwFoAUAmwhUSLC/nblSLK5Z3XYABk8XOkwDwYDVR0TAQH/BAUwAwEB\n\
/zANBgkqhkiG9w0BAQsFAAOCAQEAWcW4+p+uUqX2D4omqfLjlqlh676ZB0P2Ix11\n\
Ntz9OWBwxDKfsZTLjXa4V2HItPlER4oX+W4GlOSacE9zuFz6sgpwvI5zwOad4Fu1\n\
s4uepAv2lugTOFEyU/Jfp2Mmj/difTEm16WALQgVmqceJ48ej/VQtayJgnkhkgdY\n\
gLObp3TBqdKxV0szqEtzS47+zB2Lr+YAx1uewVKhqGHKWXgBIaovxxodbIqNo2/e\n\
GlPFmGV8AuDghFzDD5TQWSfl1ESu65sT5pvznwgbfYgcldgFl0y8syRII5HAg+Wf\n\
MtQnECAzRYWFmtEtLMP9E2L1BFTNmrLfo7Bm+1fN+JdntmEDHQ==\n\
-----END CERTIFICATE-----";
const ED_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBVTCCAQegAwIBAgIULotO0/z9Uacoj7OZ8rBdqI0WKhMwBQYDK2VwMB8xHTAb\n\
BgNVBAMMFGZpeHR1cmUgb2YgdHJpYnV0YXJ5MCAXDTI2MTEyMTE0MzgyN1oYDzIx\n\
MjYxMDI4MTQzODI3WjAfMR0wGwYDVQQDDBRmaXh0dXJlIG9mIHRyaWJ1dGFyeTAq\n\
MAUGAytlcAMhALQCbefmrMLT3pxCLKvf/ok/w0R6I1AJpCfque98jIhfo1MwUTAd\n\
BgNVHQ4EFgQUkV/nQVB+eYpQcaD63M3XXnGCl6kwHwYDVR0jBBgwFoAUkV/nQVB+\n\
eYpQcaD63M3XXnGCl6kwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQDw3dvWN3z5\n\
44svx88EtQuxqCXq517ETkTpA5/SVGMa1beCk1Xu6VYOW00TpVi51mepy9CQOAYl\n\
9ZpyLJbzWmgK\n\
-----END CERTIFICATE-----";
const ED_SIGNED: &str =
    "uvPuLtO50Fy4VHk6C648vClWIyjJpyR9i9H1GTrphZErtAZY1M8w+8fa+AVYGyfQc2mpIWmcyr4BUJleI6AjAA==";
const EC_SIGNED: &str = "MEUCIQCDWVniDhdtRWR3VvPZtYrLi4kuzbVxBW2id3yIx/oq/QIge8hkbQ0fU7LRUzXcnOF3+2Sjs+P03VhPpKq3SDqldvw=";
const RSA_SHA256_SIGNED: &str = "G8u0YHUaNu8oPnzCqSmIhSIVJ3Mr5A2Fh+/xiuai2QnJWDDmX/W2KBVCG5scm2AB1t32Glu2B1BFRjjPHtlw0mLzTYJBHRNYaiBhdl8J/4Z0vUVkAs9zLgN3mfWuLEzksw+xXOrMIYjbMN+FnAz5in1CHxVYM9RonH8RYRS2plWqI+tJOc9xp39kit8N+qbERr16U7oBIBd2sG+KLf6ZcPkGbaqnUGBp4aGEhcYakF4O2CNq2pd/5TVxnYP2OGZXpCG/4j78mTPtnNElPLiOzfl69t3UtXnc7MYbMQqXW27fGG1FA6pV8uDoZc7GYn9/L2384lEFwud/OKQc2hqjjw==";
const RSA_SHA1_SIGNED: &str = "LZ+8QFqqwPenaQyfOVGy3U4J8akRZv1cFRwGbs5boIEQTXXjr/C4OLnDO+X4aqrGK6IFtFm4rp4XG2zOR0oi4MUy6qIpjfkKpxa47uSaJ+OvD8nxIK/B0f9H/Q/VJFrxbzLYQNk7ZUf1m0TF+mgUdtmL9Y07Ia+HhHCULcmrRPMp51Xw8rrVcJMXInH7zy7wFISYyNp6idGzzgqVuNjYl7YJLBylu24X1LuECdOD6EwLeWQFYwI2B2aDM+blBsdUYPYU5zxHAGS9/3Q6WeClVP7P3i/HCGIO/V6NQW0KWJ/2g6hkyKh3YKW+TnrSeko6yBbLm+kbeMp0mCo65MmK0w==";
const RSA_PSS_SIGNED: &str = "YD6XOo7buXMcLWVSFh4UzJCxZrq+HjUy93Jieu/UZ5eiiY1JmP4apHVj9kC3OZ0QlTqpde1XC2JbZDGYt8lh0ArlQHaGBFY1QyxRxUuhLWc8eKyBJJL8cOOCmCIOyTcrxXtaQqfvGnHO00d86trsY3qdOh/i5BNAqq+x/485X40DYbTbizjXyJ66gBOe/qY/ow9Jour2G7ZgQeNfSV3vxXUsQQKhDdjraRfYJjLgu52zlCWLWhTqaupaI1Udh5QaW5lITgkTwIMbAQ4zvn5T8xg9TwFWPp74+1pYKLwUkoq2T/64Tp1FK0nxJevqzHs2B8KZaoQ5yFwekjb4UexSnQ==";
const SMALL_SHA256_SIGNED: &str = "BlESe5mrmOfRBabx7qoKPjuT2a7KN6ZoLGfAwnGKV9hHdbsL6FiMoYRzCqIGFeo8KuYFeHgphhL8kpaHA0R/eURCs18oHWQa2ma+EuDwv9yxVsQAfR0yPxGGjv3TAsxj7/cccUdxiv+kejOm2iUmt3h2+YpA53LHOszPsYrIwFs=";
const SMALL_SHA1_SIGNED: &str = "NV8kM8M9PvMJ2884X/vExOUDFAG1f99r9/938cTtSFdmMOTC1rM7F2SAF2NY/nKRHNY/LT2gEYgCF5wyDYJj7B6SF2eNuMDO5hX3aQWYSO8dDwtsV4q/jJptksm0l56jyQiTgr/nLl6IK94xPCgVhpBxUYxLklpnmBx9ZbvE64M=";
const EC_SIGNED_FIXED: &str =
    "g1lZ4g4XbUVkd1bz2bWKy4uJLs21cQVtond8iMf6Kv17yGRtDR9TstFTNdyc4Xf7ZKOz4/TdWE+kqrdIOqV2/A==";
const EC_X: &str = "9NTGgQs4mW4UzDYwcsH8L0Ch03gHrR1Avj5djX4I6Eg";
const EC_Y: &str = "mOcE-28tJjr7ZRnu23IWqDQY6oG8KeHg1iTypRHZJN0";
const ED_X: &str = "tAJt5-aswtPenEIsq9_-iT_DRHojUAmkJ-q573yMiF8";
const RSA_N: &str = "pyAPQT82NSVioDsRnvrqRpdre6pAujJg_JboPV3D_UoGERIYCzlLx_H70JCMHZv0DjNh5f-GwN0VZxJeDH2pFjI28xOOjgU15TU0x_4SSMIJl_MkJyvdSnYeqQSthnEjWYjVOiXYQzr3Gpb1flXup7Akq4zpSd0c7dT88xzOcNc6k3HG7mWuiqbkms80ruApNOwBB8b64C1WZzWvo4lMIAzoIsjFUCXc_y5Rbu4BI2KM4hA-9sFivMtKHSpZbhQP9Vcc9Q_mLncVCZW9j5W-6Wfquzz-AUUkOR0EPo1PeL1KC-xYRLnkAlGaxyPSqtgnZZY_wXsqpx1ekwXa7QNT4w";

/// The verdict on `signature` by keys that each are one secret.
fn judge(
    keys: &[&str],
    signature: &str,
    kid: Option<&str>,
    allowed: &[Algorithm],
) -> Result<Genuine, NotGenuine> {
    let secrets: Vec<Secret> = keys.iter().map(|key| Secret::from(*key)).collect();
    let signature = STANDARD.decode(signature).unwrap();
    let parts: [&[u8]; 2] = [b"what is ", b"signed"];
    signed_by(&parts, &signature, kid, allowed, &secrets)
}

const FITS: Result<Genuine, NotGenuine> = Ok(Genuine { secret: 0 });
const MISMATCH: Result<Genuine, NotGenuine> = Err(NotGenuine::Mismatch);

/// Every algorithm, the safest of RSA's first.
fn all(key: &str, signature: &str) -> Result<Genuine, NotGenuine> {
    judge(&[key], signature, None, &Algorithm::ALL)
}

#[test]
fn every_algorithm_verifies_what_openssl_signed() {
    assert_eq!(all(ED, ED_SIGNED), FITS);
    assert_eq!(all(ED_CERTIFICATE, ED_SIGNED), FITS);
    assert_eq!(all(EC, EC_SIGNED), FITS);
    assert_eq!(all(EC, EC_SIGNED_FIXED), FITS);
    let rsa = |key: &str, signature: &str, algorithm| judge(&[key], signature, None, &[algorithm]);
    for key in [RSA, RSA_CERTIFICATE] {
        assert_eq!(rsa(key, RSA_SHA256_SIGNED, Algorithm::RsaPkcs1Sha256), FITS);
        assert_eq!(rsa(key, RSA_SHA1_SIGNED, Algorithm::RsaPkcs1Sha1), FITS);
        assert_eq!(rsa(key, RSA_PSS_SIGNED, Algorithm::RsaPssSha256), FITS);
    }
    assert_eq!(
        rsa(RSA_1024, SMALL_SHA1_SIGNED, Algorithm::RsaPkcs1Sha1),
        FITS
    );
    assert_eq!(
        rsa(RSA_1024, SMALL_SHA256_SIGNED, Algorithm::RsaPkcs1Sha256),
        MISMATCH
    );
}

#[test]
fn the_algorithm_is_the_keys_and_nobody_elses() {
    // An RSA key is one algorithm's, not any that somebody signs with.
    assert_eq!(all(RSA, RSA_SHA256_SIGNED), FITS);
    assert_eq!(all(RSA, RSA_SHA1_SIGNED), MISMATCH);
    assert_eq!(all(RSA, RSA_PSS_SIGNED), MISMATCH);
    let pss = format!("our key\nalg: rsa-pss-sha256\n{RSA}");
    assert_eq!(all(&pss, RSA_PSS_SIGNED), FITS);
    assert_eq!(all(&pss, RSA_SHA256_SIGNED), MISMATCH);
    for wrong in ["ed25519", "rsa", "none"] {
        let key = format!("alg: {wrong}\n{RSA}");
        assert_eq!(all(&key, RSA_SHA256_SIGNED), MISMATCH, "{wrong}");
    }
    // What a source does not allow does not count.
    let only = [Algorithm::RsaPkcs1Sha256];
    assert_eq!(judge(&[ED], ED_SIGNED, None, &only), MISMATCH);
    assert_eq!(judge(&[&pss], RSA_PSS_SIGNED, None, &only), MISMATCH);
    assert_eq!(judge(&[EC], EC_SIGNED, None, &[]), MISMATCH);
}

#[test]
fn a_named_key_is_used_for_its_name_alone() {
    let first = format!("kid: first\n{ED}");
    let by = |keys: &[&str], kid| judge(keys, ED_SIGNED, kid, &Algorithm::ALL);
    assert_eq!(by(&[&first], Some("first")), FITS);
    assert_eq!(by(&[&first], None), FITS);
    assert_eq!(by(&[ED], Some("first")), FITS);
    let unknown = Err(NotGenuine::UnknownKey);
    assert_eq!(by(&[&first], Some("second")), unknown);
    assert_eq!(by(&[&first, EC], Some("second")), unknown);
    let second = format!("kid: second\n{EC}");
    assert_eq!(by(&[&first, &second], Some("second")), MISMATCH);
    assert_eq!(by(&[EC, &first], Some("first")), Ok(Genuine { secret: 1 }));
}

#[test]
fn json_web_keys_are_read() {
    let ed = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{ED_X}","kid":"a"}}"#);
    let ec = format!(r#"{{"kty":"EC","crv":"P-256","x":"{EC_X}","y":"{EC_Y}","alg":"ES256"}}"#);
    let rsa = |more: &str| format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQAB"{more}}}"#);
    assert_eq!(all(&ed, ED_SIGNED), FITS);
    assert_eq!(all(&ec, EC_SIGNED), FITS);
    assert_eq!(all(&rsa(""), RSA_SHA256_SIGNED), FITS);
    assert_eq!(all(&rsa(""), RSA_PSS_SIGNED), MISMATCH);
    assert_eq!(all(&rsa(r#","alg":"PS256""#), RSA_PSS_SIGNED), FITS);
    assert_eq!(all(&rsa(r#","alg":"RS1""#), RSA_SHA1_SIGNED), FITS);
    for more in [r#","alg":"HS256""#, r#","use":"enc""#, r#","alg":"EdDSA""#] {
        assert_eq!(all(&rsa(more), RSA_SHA256_SIGNED), MISMATCH, "{more}");
    }
    let odd = r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#;
    let set = format!(r#"{{"keys":[{odd},7,{ec},{ed}]}}"#);
    assert_eq!(all(&set, ED_SIGNED), FITS);
    let named = |kid| judge(&[&set], ED_SIGNED, Some(kid), &Algorithm::ALL);
    assert_eq!(named("a"), FITS);
    assert_eq!(named("b"), Err(NotGenuine::UnknownKey));
}

#[test]
fn what_is_no_key_never_fits() {
    let cut = &RSA[..RSA.len() / 2];
    let bad = RSA.replace("MIIB", "!!!!");
    let private = ED.replace("PUBLIC", "PRIVATE");
    let short = r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#;
    let empty = r#"{"kty":"RSA","n":"AAAA","e":"AQAB"}"#;
    for key in [
        "whsec_text",
        cut,
        &bad,
        &private,
        P384,
        short,
        empty,
        "{",
        "{}",
        r#"{"keys":[]}"#,
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    ] {
        for signature in [ED_SIGNED, EC_SIGNED, RSA_SHA256_SIGNED, ""] {
            assert_eq!(all(key, signature), MISMATCH, "{key}");
        }
    }
    assert_eq!(all("", ED_SIGNED), Err(NotGenuine::NoSecret));
    assert_eq!(
        judge(&[], ED_SIGNED, Some("a"), &Algorithm::ALL),
        Err(NotGenuine::NoSecret)
    );
}

#[test]
fn another_message_is_not_signed() {
    let secrets = [Secret::from(ED)];
    let signature = STANDARD.decode(ED_SIGNED).unwrap();
    let other = signed_by(
        &[MESSAGE, b"!"],
        &signature,
        None,
        &Algorithm::ALL,
        &secrets,
    );
    assert_eq!(other, MISMATCH);
}
