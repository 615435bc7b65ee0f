//! LeanCloud's data model, without I/O: values and their `__type`s, the `__op` operators, the `where` filter,
//! classes and their permissions, and the wire forms of hooks and errors.
//!
//! Nothing here reads a clock, draws a random number, does I/O or knows how documents are stored. The server, the
//! storage engines, the REST client and every checker share this one evaluator of [`Filter`] and [`Update`].

pub mod acl;
pub mod auth_data;
pub mod class_name;
pub mod cloud_error;
pub mod cql;
pub mod document;
pub mod error_code;
pub mod filter;
pub mod hex;
pub mod hook;
pub mod key_path;
pub mod limits;
pub mod object_id;
pub mod op;
pub mod query;
pub mod schema;
pub mod timestamp;
pub mod user_secrets;
pub mod value;
pub mod write;

pub use acl::{Acl, Principal};
pub use auth_data::{AuthData, Identity};
pub use class_name::ClassName;
pub use cloud_error::CloudError;
pub use document::Document;
pub use error_code::ErrorCode;
pub use filter::{Filter, Pattern, Subquery, Test};
pub use hex::hex;
pub use hook::{HookCall, HookKind, Hooks, UserHook, UserHookCall};
pub use key_path::KeyPath;
pub use object_id::ObjectId;
pub use op::{Applied, Op, RelationChange, Update};
pub use query::{Direction, Keys, OrderKey, Query};
pub use schema::{Class, ClassPermissions, Column, ColumnType, Index, Permission, Schema, SchemaChange};
pub use timestamp::Timestamp;
pub use value::{GeoPoint, Pointer, Value};
