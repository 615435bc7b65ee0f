//! Handlers of cloud functions and hooks: plain async functions from extractors to a result.

use std::any::TypeId;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::call::Call;
use crate::engine::encode::{Encoding, to_json};
use crate::engine::extract::{FromCall, HookObject, Object};
use crate::engine::hook_payload::HookPayload;
use crate::model::{CloudError, Document};

/// An async function of at most eight [extractors](FromCall). Implemented for all such functions; not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a cloud function or hook",
    label = "not an `async fn` of extractors",
    note = "arguments: Params<T>, CurrentUser, Option<CurrentUser>, HookObject, Object<T>, AuthData, Cloud, Meta, State<S>",
    note = "State<S> has the same S as the App; the future must be Send and hold no borrow"
)]
pub trait Handler<S, Arguments>: Send + Sync + 'static {
    /// Output of the future.
    type Output;
    /// The future that the function returns.
    type Future: Future<Output = Self::Output> + Send + 'static;

    /// Extracts the arguments and calls the function.
    ///
    /// # Errors
    /// The error of the first extractor that fails.
    fn call(&self, call: &Call, state: &S) -> Result<Self::Future, CloudError>;
}

macro_rules! handlers {
    ($(($($argument:ident),*))*) => {$(
        impl<S, F, Fut, $($argument,)*> Handler<S, ($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            $($argument: FromCall<S>,)*
        {
            type Output = Fut::Output;
            type Future = Fut;

            #[allow(unused_variables, reason = "a function without arguments uses neither")]
            fn call(&self, call: &Call, state: &S) -> Result<Fut, CloudError> {
                Ok(self($($argument::from_call(call, state)?),*))
            }
        }
    )*};
}

handlers! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, G)
    (A, B, C, D, E, G, H)
    (A, B, C, D, E, G, H, I)
}

/// Output of a handler.
#[derive(Clone, Debug)]
pub(crate) enum HandlerOutput {
    /// Function: the whole body, `{"result": …}`.
    Body(Bytes),
    /// `before_save`: the object to store.
    Object(Document),
    /// Any other hook: it does not refuse.
    Done,
}

/// Result of a cloud function: `Result<T, E>` with a serialisable `T`, and an error that is a [`CloudError`] or converts
/// to one.
#[diagnostic::on_unimplemented(
    message = "a cloud function returns Result<T, E> with T: Serialize and E: Into<CloudError>, not `{Self}`"
)]
pub trait FunctionReply {
    #[doc(hidden)]
    fn into_body(self, encoding: Encoding) -> Result<Bytes, CloudError>;
}

impl<T: Serialize + 'static, E: Into<CloudError>> FunctionReply for Result<T, E> {
    fn into_body(self, encoding: Encoding) -> Result<Bytes, CloudError> {
        #[derive(Serialize)]
        struct Body<T> {
            result: T,
        }
        let result = self.map_err(Into::into)?;
        if TypeId::of::<T>() == TypeId::of::<()>() {
            return Ok(Bytes::from_static(match encoding {
                // Like JavaScript's `undefined`.
                Encoding::Plain => b"{}",
                // Clients of `call` decode the value of `result`, and expect it to be present.
                Encoding::Rpc => br#"{"result":{}}"#,
            }));
        }
        to_json(&Body { result }, encoding)
            .map(Bytes::from)
            .map_err(|error| CloudError::internal(format!("the result cannot be written as JSON: {error}")))
    }
}

/// Result of a `before_save` hook: `Ok(())` to store the object as the client sent it, or the [`HookObject`] or
/// [`Object<T>`] to store instead. An error refuses the write.
#[diagnostic::on_unimplemented(
    message = "a before_save hook returns Result<(), E>, Result<HookObject, E> or Result<Object<T>, E>, not `{Self}`"
)]
pub trait BeforeSaveReply {
    #[doc(hidden)]
    fn into_object(self, original: Option<HookPayload>) -> Result<Document, CloudError>;
}

impl<E: Into<CloudError>> BeforeSaveReply for Result<(), E> {
    fn into_object(self, original: Option<HookPayload>) -> Result<Document, CloudError> {
        self.map_err(Into::into)?;
        Ok(original.map(|object| object.fields).unwrap_or_default())
    }
}

impl<E: Into<CloudError>> BeforeSaveReply for Result<HookObject, E> {
    fn into_object(self, _: Option<HookPayload>) -> Result<Document, CloudError> {
        self.map(HookObject::into_document).map_err(Into::into)
    }
}

impl<T: Serialize + DeserializeOwned, E: Into<CloudError>> BeforeSaveReply for Result<Object<T>, E> {
    fn into_object(self, _: Option<HookPayload>) -> Result<Document, CloudError> {
        self.map_err(Into::into)?.into_fields()
    }
}

/// Result of any other hook: `Result<(), E>`.
#[diagnostic::on_unimplemented(
    message = "this hook returns Result<(), E> with E: Into<CloudError>, not `{Self}`"
)]
pub trait HookReply {
    #[doc(hidden)]
    fn into_verdict(self) -> Result<(), CloudError>;
}

impl<E: Into<CloudError>> HookReply for Result<(), E> {
    fn into_verdict(self) -> Result<(), CloudError> {
        self.map_err(Into::into)
    }
}

/// Future of a running handler.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<HandlerOutput, CloudError>> + Send>>;

/// A type-erased handler with its state.
pub(crate) type BoundHandler = Arc<dyn Fn(Call) -> HandlerFuture + Send + Sync>;

/// A type-erased handler without its state.
pub(crate) type UnboundHandler<S> = Box<dyn FnOnce(S) -> BoundHandler + Send>;

/// Erases a handler's type. `convert` makes a [`HandlerOutput`] of the handler's output, the call's object, and the
/// encoding of results.
pub(crate) fn erase<S, A, H>(
    handler: H,
    convert: fn(H::Output, Option<HookPayload>, Encoding) -> Result<HandlerOutput, CloudError>,
) -> UnboundHandler<S>
where
    S: Send + Sync + 'static,
    A: 'static,
    H: Handler<S, A>,
{
    Box::new(move |state| {
        let shared = Arc::new((handler, state));
        Arc::new(move |call| {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let (handler, state) = &*shared;
                let running = handler.call(&call, state)?;
                let (object, encoding) = (call.object, call.encoding);
                let output = running.await;
                convert(output, object, encoding)
            })
        })
    })
}
