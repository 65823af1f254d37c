//! A logged-in device: what encrypts for it (`matrix-sdk`, everything in memory), and its access token for what that lacks.

use std::time::Duration;

use anyhow::{Context as _, Result};
use matrix_sdk::config::RequestConfig;
use matrix_sdk::cross_process_lock::CrossProcessLockConfig;
use matrix_sdk::reqwest;
use matrix_sdk::ruma::{OwnedDeviceId, OwnedUserId};
use matrix_sdk::{Client, SessionMeta, SessionTokens, authentication::matrix::MatrixSession};
use matrix_sdk_base::store::StoreConfig;
use matrix_sdk_base::{BaseClient, DmRoomDefinition, ThreadingSupport};
use matrixrtc::MemberFormat;
use matrixrtc::delayed_leave::Support;
use serde_json::json;

use super::homeserver::{Credentials, Homeserver};
use super::http::{Api, segment, text};

/// Tries of one request.
const TRIES: usize = 3;

/// See the module.
#[derive(Debug, Clone)]
pub struct Account {
    pub user: OwnedUserId,
    pub device: OwnedDeviceId,
    /// With the access token.
    pub api: Api,
    pub client: Client,
    /// What is inside `client`, for [`seal`](super::seal).
    pub base: BaseClient,
    /// How its member event is written.
    pub format: MemberFormat,
    /// What its homeserver does of delayed events.
    pub support: Support,
}

impl Account {
    /// `client_url`: where what encrypts finds the homeserver. `format`: of its member events, if the homeserver can.
    pub async fn log_in(
        http: &reqwest::Client,
        homeserver: &Homeserver,
        client_url: &str,
        credentials: &Credentials,
        format: MemberFormat,
    ) -> Result<Self> {
        let identifier = json!({"type": "m.id.user", "user": credentials.user});
        let body = json!({
            "type": "m.login.password", "identifier": identifier, "password": credentials.password,
            "initial_device_display_name": "sfu-bench",
        });
        let login = homeserver.api.post("/_matrix/client/v3/login", body).await.context("cannot log in")?;
        let token = text(&login, "access_token")?;
        let user = OwnedUserId::try_from(text(&login, "user_id")?)?;
        let device = OwnedDeviceId::from(text(&login, "device_id")?);
        let requests = RequestConfig::new().retry_limit(TRIES).timeout(Duration::from_secs(60));
        let store = StoreConfig::new(CrossProcessLockConfig::SingleProcess);
        let base = BaseClient::new(store, ThreadingSupport::Disabled, DmRoomDefinition::default());
        let client = Client::builder()
            .base_client(base.clone())
            .homeserver_url(client_url)
            .http_client(http.clone())
            .request_config(requests)
            .build()
            .await?;
        let session = MatrixSession {
            meta: SessionMeta { user_id: user.clone(), device_id: device.clone() },
            tokens: SessionTokens { access_token: token.to_owned(), refresh_token: None },
        };
        client.restore_session(session).await.context("cannot use the session")?;
        let api = homeserver.api.with_token(token);
        let versions = api.get("/_matrix/client/versions").await?;
        let capabilities = api.get("/_matrix/client/v3/capabilities").await.unwrap_or_default();
        let format = format.at(&versions);
        Ok(Self { user, device, client, base, format, support: Support::read(&versions, &capabilities), api })
    }

    /// A token that proves to others whose account it is.
    pub async fn openid(&self) -> Result<serde_json::Value> {
        let path = format!("/_matrix/client/v3/user/{}/openid/request_token", segment(self.user.as_str()));
        self.api.post(&path, json!({})).await.context("no OpenID token")
    }
}

/// A client that uses no proxy, and trusts a certificate besides the well-known ones.
pub fn http_client(ca: Option<&std::path::Path>) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder().no_proxy();
    if let Some(file) = ca {
        let pem = std::fs::read(file).with_context(|| format!("--ca {}", file.display()))?;
        for certificate in reqwest::Certificate::from_pem_bundle(&pem)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    Ok(builder.build()?)
}
