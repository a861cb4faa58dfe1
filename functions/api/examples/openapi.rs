//! Prints the API's description, as in docs/openapi.json.

use std::{
    error::Error,
    io::{self, Write},
};

use api::openapi::Document;
use utoipa::OpenApi as _;

fn main() -> Result<(), Box<dyn Error>> {
    writeln!(io::stdout(), "{}", Document::openapi().to_pretty_json()?)?;
    Ok(())
}
