//! Tools and schemas of an [`App`] that is built by hand.

use schemars::JsonSchema;

use super::App;
use crate::schema::schema_of;
use crate::tools::Tool;

impl App {
    /// Adds a tool, as [`tool`](macro@crate::tool) does.
    ///
    /// Two tools of one name, an invalid name, and arguments that are no object fail the start.
    ///
    /// ```
    /// use agentcore::tool::Tool;
    /// use agentcore::{App, Json};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Numbers {
    ///     numbers: Vec<f64>,
    /// }
    ///
    /// async fn handler(event: Json<serde_json::Value>) -> Json<serde_json::Value> {
    ///     event
    /// }
    ///
    /// let sum = async |Json(all): Json<Numbers>| Json(all.numbers.iter().sum::<f64>());
    /// let app = App::new()
    ///     .entrypoint("handler", handler)
    ///     .tool(Tool::new("sum", sum).description("Adds numbers."));
    /// # let _ = app;
    /// ```
    pub fn tool(mut self, tool: Tool) -> Self {
        self.parts.tools.push(tool.draft);
        self
    }

    /// Gives the last entrypoint that was added the [schemas](crate::run#flags) of its types: `P` is its payload, and `R` its reply,
    /// or an item of a streamed reply. Has no effect if there is no entrypoint.
    ///
    /// [`entrypoint`](macro@crate::entrypoint) finds both schemas itself.
    ///
    /// ```
    /// use agentcore::{App, Json};
    ///
    /// async fn double(Json(number): Json<i64>) -> Json<i64> {
    ///     Json(number * 2)
    /// }
    ///
    /// let app = App::new().entrypoint("double", double).entrypoint_schema::<i64, i64>();
    /// # let _ = app;
    /// ```
    pub fn entrypoint_schema<P, R>(mut self) -> Self
    where
        P: JsonSchema,
        R: JsonSchema,
    {
        if let Some(entrypoint) = self.parts.entrypoints.last_mut() {
            entrypoint.describe = |schemas| {
                schemas.payload = Some(schema_of::<P>);
                schemas.reply = Some(schema_of::<R>);
            };
        }
        self
    }
}
