//! Prints the API's description, as docs/openapi.json keeps it.

use api::openapi::Document;
use utoipa::OpenApi as _;

fn main() -> serde_json::Result<()> {
    println!("{}", Document::openapi().to_pretty_json()?);
    Ok(())
}
