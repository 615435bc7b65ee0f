//! The text printed once the server listens.

use std::path::Path;

use secrecy::ExposeSecret;

use crate::app::{credentials_file, terminal};
use crate::credentials::Credentials;

/// Prints all that a first request needs. No secret is among it: clients have the app id and the app key anyway.
pub(crate) fn print(url: &str, data: &Path, credentials: &Credentials, sandbox: bool) {
    let Credentials { app_id, app_key, .. } = credentials;
    let app_key = app_key.expose_secret();
    let keys = credentials_file::path(data);
    let headers =
        format!("-H 'X-LC-Id: {app_id}' -H 'X-LC-Key: {app_key}' -H 'Content-Type: application/json'");
    let sandbox = if sandbox {
        "\nThe channel \"sandbox\" is on: everybody may ask for a recharge, and whoever has the master key confirms it, \
         paid or not (--sandbox=false).\n"
    } else {
        ""
    };
    terminal::print_line(format!(
        "paylog {version} serves {url}, with the data in {data}\n\
         \n\
         app id   {app_id}\n\
         app key  {app_key}\n\
         The master key, for servers only, is in {keys}\n\
         {sandbox}\n\
         To try it, sign up, log in and look at your balance:\n\
         curl {headers} {url}/1.1/users -d '{{\"username\": \"ming\", \"password\": \"correct horse\"}}'\n\
         curl {headers} {url}/1.1/login -d '{{\"username\": \"ming\", \"password\": \"correct horse\"}}'\n\
         curl {headers} -H 'X-LC-Session: <the sessionToken of that answer>' {url}/1.1/functions/getBalance -d '{{}}'\n\
         \n\
         Stop with Ctrl-C.",
        version = env!("CARGO_PKG_VERSION"),
        data = data.display(),
        keys = keys.display(),
    ));
}
