//! The security headers of every answer.

use crate::config::Config;

/// Headers that are the same for every answer and deployment.
pub(crate) const FIXED: &[(&str, &str)] = &[
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    ("referrer-policy", "no-referrer"),
    (
        "strict-transport-security",
        "max-age=31536000; includeSubDomains",
    ),
    ("x-content-type-options", "nosniff"),
];

/// Returns the content security policy. The page may load from and connect to its own origin, and connect to the
/// issuer. Inline scripts and styles, frames, and turning text into markup are forbidden.
pub(crate) fn policy(config: &Config) -> String {
    let mut connect = vec!["'self'"];
    let origins = [Some(config.issuer.origin()), config.token_origin.as_ref()];
    // Without a client id, the page never connects to the issuer.
    for origin in origins
        .into_iter()
        .flatten()
        .filter(|_| !config.client_id.is_empty())
    {
        if !connect.contains(&origin.as_str()) {
            connect.push(origin.as_str());
        }
    }
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {}; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        connect.join(" ")
    )
}
