//! What can be a cloud function or a hook: a plain async function from extractors to a result.

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

/// An async function of at most eight [extractors](FromCall). Implemented for all of them; not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no cloud function or hook",
    label = "not an `async fn` of extractors",
    note = "arguments: Params<T>, CurrentUser, Option<CurrentUser>, HookObject, Object<T>, AuthData, Cloud, Meta, State<S>",
    note = "State<S> has the same S as the App; the future must be Send and hold no borrow"
)]
pub trait Handler<S, Arguments>: Send + Sync + 'static {
    /// What it answers.
    type Output;
    /// What it returns.
    type Future: Future<Output = Self::Output> + Send + 'static;

    /// Extracts the arguments and calls the function.
    ///
    /// # Errors
    /// That of the first extractor that fails.
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

            #[allow(unused_variables, reason = "a function without arguments asks for nothing")]
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

/// What a handler answered.
#[derive(Clone, Debug)]
pub(crate) enum HandlerOutput {
    /// A function: the whole body, `{"result": …}`.
    Body(Bytes),
    /// `before_save`: the object to be stored.
    Object(Document),
    /// Any other hook: it has nothing against it.
    Done,
}

/// The result of a cloud function: `Result<T, E>` of anything that serde can write, and an error that is a
/// [`CloudError`] or becomes one.
#[diagnostic::on_unimplemented(
    message = "a cloud function answers Result<T, E> with T: Serialize and E: Into<CloudError>, not `{Self}`"
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
                // As JavaScript's `undefined`.
                Encoding::Plain => b"{}",
                // Clients of `call` decode whatever comes under `result`, and expect it to be there.
                Encoding::Rpc => br#"{"result":{}}"#,
            }));
        }
        to_json(&Body { result }, encoding)
            .map(Bytes::from)
            .map_err(|error| CloudError::internal(format!("the result is no JSON: {error}")))
    }
}

/// The result of a `before_save` hook: `Ok(())` (stored as the client sent it), or the [`HookObject`] or
/// [`Object<T>`] to be stored instead; an error refuses the write.
#[diagnostic::on_unimplemented(
    message = "a before_save hook answers Result<(), E>, Result<HookObject, E> or Result<Object<T>, E>, not `{Self}`"
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

/// The result of any other hook: `Result<(), E>`.
#[diagnostic::on_unimplemented(
    message = "this hook answers Result<(), E> with E: Into<CloudError>, not `{Self}`"
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

/// A running handler.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<HandlerOutput, CloudError>> + Send>>;

/// A handler with its state, of any type.
pub(crate) type BoundHandler = Arc<dyn Fn(Call) -> Running + Send + Sync>;

/// A handler that waits for its state.
pub(crate) type UnboundHandler<S> = Box<dyn FnOnce(S) -> BoundHandler + Send>;

/// Forgets a handler's type. `answer` makes an [`HandlerOutput`] of its output, the call's object, and how results
/// travel.
pub(crate) fn erase<S, A, H>(
    handler: H,
    answer: fn(H::Output, Option<HookPayload>, Encoding) -> Result<HandlerOutput, CloudError>,
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
                answer(output, object, encoding)
            })
        })
    })
}
