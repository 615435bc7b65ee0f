//! Users: sign-up, login, sessions and passwords.

use http::Method;
use secrecy::{ExposeSecret, SecretString};

use crate::client::request::{ApiRequest, document};
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{Document, ObjectId, Value};

/// A logged-in user.
#[derive(Clone, Debug)]
pub struct Session {
    /// The user, without the token.
    pub user: Document,
    /// Proof that a request comes from this user.
    pub session_token: SecretString,
}

impl Session {
    /// Returns a view of `client` that acts for this user.
    #[must_use]
    pub fn client(&self, client: &Client) -> Client {
        client.with_session(self.session_token.clone())
    }
}

impl Client {
    /// Signs a user up and logs them in. `fields` are further fields of the user (`email`, `nickname`, …).
    ///
    /// **Idempotency**: none; never sent again once it may have been sent. After [`Retry::AfterRead`], log in to find out.
    ///
    /// [`Retry::AfterRead`]: crate::client::Retry::AfterRead
    ///
    /// # Errors
    /// [`ClientError`]; 202 if the name is taken.
    ///
    /// ```no_run
    /// # use paylog::{client::Client, model::Document};
    /// # async fn example(client: Client) -> anyhow::Result<()> {
    /// let session = client.sign_up("tester", "secret", Document::new()).await?;
    /// let tester = session.client(&client);
    /// # let _ = tester; Ok(()) }
    /// ```
    pub async fn sign_up(
        &self,
        username: &str,
        password: impl Into<SecretString>,
        fields: Document,
    ) -> Result<Session, ClientError> {
        let mut body = fields;
        body.insert("username".to_owned(), Value::from(username));
        body.insert(
            "password".to_owned(),
            Value::from(password.into().expose_secret()),
        );
        self.sign_up_with(body).await
    }

    /// Signs up with any fields. With `authData`, logs in the user that it belongs to, if there is one.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn sign_up_with(&self, fields: Document) -> Result<Session, ClientError> {
        let request = ApiRequest::new(Method::POST, "/1.1/users", Idempotent::No).with_body(fields);
        self.session(request).await
    }

    /// Logs in with a user name. Repeated by the policy.
    ///
    /// # Errors
    /// [`ClientError`]; 210 if the password is wrong, 211 if there is no such user.
    pub async fn log_in(
        &self,
        username: &str,
        password: impl Into<SecretString>,
    ) -> Result<Session, ClientError> {
        let password = password.into();
        self.log_in_with(document([
            ("username", Value::from(username)),
            ("password", Value::from(password.expose_secret())),
        ]))
        .await
    }

    /// Logs in with any credentials that `login` accepts: `email` or `mobilePhoneNumber`, with `password` or `smsCode`.
    ///
    /// # Errors
    /// As [`Client::log_in`].
    pub async fn log_in_with(&self, credentials: Document) -> Result<Session, ClientError> {
        let request = ApiRequest::new(Method::POST, "/1.1/login", Idempotent::Yes).with_body(credentials);
        self.session(request).await
    }

    /// Reads the user that this view acts for.
    ///
    /// # Errors
    /// [`ClientError`]; 211 if the token is not valid (any more).
    pub async fn me(&self) -> Result<Session, ClientError> {
        if self.session_token.is_none() {
            let reason = "there is no session: log in, or call Client::with_session";
            return Err(ClientError::Invalid(reason.to_owned()));
        }
        self.session(ApiRequest::get("/1.1/users/me")).await
    }

    /// Makes the user's token invalid everywhere and returns a new one. Needs the user's session or the master key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn refresh_session_token(&self, id: &ObjectId) -> Result<SecretString, ClientError> {
        let path = format!("/1.1/users/{id}/refreshSessionToken");
        let request = ApiRequest::new(Method::PUT, path, Idempotent::No).with_body(Document::new());
        self.token(request).await
    }

    /// Changes the user's password and returns the new session token. Needs the user's session.
    ///
    /// # Errors
    /// [`ClientError`]; 210 if the old password is wrong.
    pub async fn update_password(
        &self,
        id: &ObjectId,
        old: impl Into<SecretString>,
        new: impl Into<SecretString>,
    ) -> Result<SecretString, ClientError> {
        let body = document([
            ("old_password", Value::from(old.into().expose_secret())),
            ("new_password", Value::from(new.into().expose_secret())),
        ]);
        let path = format!("/1.1/users/{id}/updatePassword");
        let request = ApiRequest::new(Method::PUT, path, Idempotent::No).with_body(body);
        self.token(request).await
    }

    /// Sends a request whose response is a user with a token.
    async fn session(&self, request: ApiRequest) -> Result<Session, ClientError> {
        let idempotent = request.idempotent;
        self.send(&request).await.read(idempotent, |body| {
            let (user, session_token) = take_token(body)?;
            if user.object_id().is_none() {
                return Err("the answer holds no user".to_owned());
            }
            Ok(Session { user, session_token })
        })
    }

    /// Sends a request whose response is a token, possibly with fields of the user.
    async fn token(&self, request: ApiRequest) -> Result<SecretString, ClientError> {
        let idempotent = request.idempotent;
        let (_, token) = self.send(&request).await.read(idempotent, take_token)?;
        Ok(token)
    }
}

fn take_token(body: Value) -> Result<(Document, SecretString), String> {
    let Value::Object(mut fields) = body else {
        return Err("the answer is not an object".to_owned());
    };
    match fields.shift_remove("sessionToken") {
        Some(Value::String(token)) if !token.is_empty() => Ok((Document(fields), token.into())),
        _ => Err("the answer holds no sessionToken".to_owned()),
    }
}
