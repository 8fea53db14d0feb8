//! AWS's signature, version 4, for X-Ray's endpoint.

use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls;
use bytes::Bytes;
use http::Request;
use tokio::sync::Mutex;
use tracing::subscriber::NoSubscriber;

use super::renewed::Renewed;
use crate::error::BoxError;

/// How long before credentials expire new ones are requested.
const EARLY: Duration = Duration::from_secs(300);

/// How long credentials without an expiry are kept.
const KEEP: Duration = Duration::from_secs(900);

#[derive(Debug)]
pub(super) struct Signer {
    region: String,
    known: Mutex<Renewed<Known>>,
}

/// What is known of the credentials. A restore makes it stale: the snapshot's credentials belong to another machine, and the
/// provider keeps tokens and connections of its own.
#[derive(Debug, Default)]
struct Known {
    /// Found at the first export, because the search would delay the start.
    provider: Option<SharedCredentialsProvider>,
    /// The last credentials, and the time until which they are used.
    credentials: Option<(Credentials, SystemTime)>,
}

impl Signer {
    pub(super) fn new(region: String) -> Self {
        Self {
            region,
            known: Mutex::default(),
        }
    }

    /// Signs `request` with the credentials of the environment, the container or the machine.
    pub(super) async fn sign(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<Request<Bytes>, BoxError> {
        let identity = self.credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("xray")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = request.headers().iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.uri().to_string(),
            headers,
            SignableBody::Bytes(request.body()),
        )?;
        // Signing logs the session's token, at the lowest level. So it runs without a subscriber.
        let signed =
            tracing::subscriber::with_default(NoSubscriber::default(), || sign(signable, &params))?;
        let (instructions, _) = signed.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    async fn credentials(&self) -> Result<Credentials, BoxError> {
        let mut known = self.known.lock().await;
        let known = known.get();
        let now = SystemTime::now();
        if let Some((credentials, until)) = &known.credentials {
            if now < *until {
                return Ok(credentials.clone());
            }
        }
        let provider = match &known.provider {
            Some(provider) => provider,
            None => known.provider.insert(self.find().await?),
        };
        let credentials = provider.provide_credentials().await?;
        let until = credentials
            .expiry()
            .map_or(now + KEEP, |expiry| expiry - EARLY);
        known.credentials = Some((credentials.clone(), until));
        Ok(credentials)
    }

    async fn find(&self) -> Result<SharedCredentialsProvider, BoxError> {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let client = aws_smithy_http_client::Builder::new()
            .tls_provider(tls)
            .build_https();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(aws_config::Region::new(self.region.clone()))
            .http_client(client)
            .load()
            .await;
        Ok(config
            .credentials_provider()
            .ok_or("there are no AWS credentials")?)
    }
}
