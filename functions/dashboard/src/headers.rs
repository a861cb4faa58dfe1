//! What browsers are told about every answer.

use crate::config::Config;

/// The same for every answer and every deployment.
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

/// What the page may load and whom it may talk to: its own origin, and the issuer to sign in. No script or style stands
/// in the page itself, nothing is framed, and no text ever becomes markup.
pub(crate) fn policy(config: &Config) -> String {
    let mut connect = vec!["'self'"];
    let origins = [Some(config.issuer.origin()), config.token_origin.as_ref()];
    // Without a client nobody signs in, and there is nobody to talk to.
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
