//! LeanEngine's variables about an instance.

use crate::config::backend::ApiServer;
use crate::config::variables::{SettingError, Variables};

/// Place in which an instance runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `LEANCLOUD_APP_PORT`; 3000 if it is not set.
    pub port: u16,
    /// `LEANCLOUD_API_SERVER`.
    pub api_server: Option<ApiServer>,
    /// `LEANCLOUD_APP_ENV` is `production` or `stage`: the instance runs behind LeanEngine's load balancer.
    pub is_deployed: bool,
    /// True if requests to functions go to production: not from staging, nor from a developer's machine whose app has
    /// a staging environment (`LEAN_CLI_HAVE_STAGING`).
    pub is_production: bool,
}

impl Instance {
    /// Reads the variables.
    ///
    /// # Errors
    /// An invalid variable.
    pub fn read(variables: &Variables) -> Result<Self, SettingError> {
        let port = match variables.get("LEANCLOUD_APP_PORT")? {
            None => 3000,
            Some(text) => text.parse().map_err(|_| {
                SettingError::Contradiction(format!(
                    "LEANCLOUD_APP_PORT is \"{text}\": a number from 0 to 65535 is expected"
                ))
            })?,
        };
        let api_server = variables
            .get("LEANCLOUD_API_SERVER")?
            .map(|url| ApiServer::parse("LEANCLOUD_API_SERVER", url))
            .transpose()?;
        let stage = variables.get("LEANCLOUD_APP_ENV")?;
        let has_staging = variables.get("LEAN_CLI_HAVE_STAGING")? == Some("true");
        Ok(Self {
            port,
            api_server,
            is_deployed: matches!(stage, Some("production" | "stage")),
            is_production: match stage {
                Some("production") => true,
                Some("stage") => false,
                _ => !has_staging,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Instance, SettingError> {
        let pairs = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Instance::read(&Variables::of(pairs))
    }

    #[test]
    fn instance_reads_port_and_stage() {
        let local = read(&[]).unwrap();
        assert_eq!(
            (local.port, local.is_deployed, local.is_production),
            (3000, false, true)
        );
        for (stage, staging, deployed, production) in [
            ("production", "true", true, true),
            ("stage", "true", true, false),
            ("development", "true", false, false),
            ("development", "false", false, true),
        ] {
            let given = [
                ("LEANCLOUD_APP_ENV", stage),
                ("LEAN_CLI_HAVE_STAGING", staging),
                ("LEANCLOUD_APP_PORT", "80"),
            ];
            let instance = read(&given).unwrap();
            assert_eq!(
                (instance.port, instance.is_deployed, instance.is_production),
                (80, deployed, production),
                "{stage} {staging}"
            );
        }
        assert!(read(&[("LEANCLOUD_APP_PORT", "http")]).is_err());
        assert!(read(&[("LEANCLOUD_API_SERVER", "nowhere")]).is_err());
    }
}
