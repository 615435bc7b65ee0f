//! The parts of HTTP that the server and the engine share: JSON bodies, errors, credentials, CORS, addresses, request ids.

pub mod body;
pub mod cors;
mod incoming_request;
mod json;
mod percent;
pub mod remote_address;
pub mod request_id;
mod surrogates;

pub use body::read_body;
pub use cors::{CorsLayer, cors_layer};
pub use incoming_request::IncomingRequest;
pub use json::{json_response, parse_object};
pub use percent::percent_decode;
pub use remote_address::{RemoteAddress, base_url, remote_address};
pub use request_id::{REQUEST_ID, new_request_id, request_id};
