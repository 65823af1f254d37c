//! Errors of the HTTP API, as Matrix clients know them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use focus_signaling::Errcode;

/// A status with a Matrix error: `{"errcode": …, "error": …}`.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) errcode: Errcode,
    pub(crate) error: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, errcode: Errcode, error: impl Into<String>) -> Self {
        Self { status, errcode, error: error.into() }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, Errcode::NotFound, "there is nothing here")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.errcode.body(self.error))).into_response()
    }
}
