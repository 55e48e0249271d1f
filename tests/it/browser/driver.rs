//! What the tests say to chromedriver, in W3C WebDriver's own words over the HTTP
//! client that is there anyway. It is no library of WebDriver: one browser, one
//! window, and only what `browser` asks for. A crate for it (`thirtyfour`) would
//! switch on another order of members in `serde_json`, so that every test would be
//! of another program than the one that is built.

use reqwest::Method;
use serde_json::{Value, json};

/// The member under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys as WebDriver writes them.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// A session of chromedriver's.
#[derive(Clone)]
pub struct Driver {
    client: reqwest::Client,
    session: String,
    /// Chromium's process.
    pub process: Option<i32>,
}

/// Something on the page, until the page is another.
pub struct Element {
    driver: Driver,
    id: String,
}

/// What chromedriver answered instead.
#[derive(Debug)]
pub struct Refused(#[expect(dead_code, reason = "it is read by who reads a failure")] pub String);

type Answer<T> = Result<T, Refused>;

async fn call(client: &reqwest::Client, method: Method, url: &str, body: Value) -> Answer<Value> {
    let mut request = client.request(method.clone(), url);
    if method == Method::POST {
        request = request.json(&body);
    }
    let refused = |error: reqwest::Error| Refused(error.to_string());
    let answer = request.send().await.map_err(refused)?;
    let well = answer.status().is_success();
    let mut answer: Value = answer.json().await.map_err(refused)?;
    match well {
        true => Ok(answer["value"].take()),
        false => Err(Refused(answer["value"].to_string())),
    }
}

impl Driver {
    /// Begins a session, which starts Chromium.
    pub async fn begin(client: &reqwest::Client, port: u16, wanted: Value) -> Answer<Driver> {
        let base = format!("http://127.0.0.1:{port}/session");
        let wanted = json!({"capabilities": {"alwaysMatch": wanted}});
        let begun = call(client, Method::POST, &base, wanted).await?;
        let process = begun["capabilities"]["goog:processID"].as_i64();
        Ok(Driver {
            client: client.clone(),
            session: format!("{base}/{}", begun["sessionId"].as_str().unwrap()),
            process: process.and_then(|id| id.try_into().ok()),
        })
    }

    async fn get(&self, of: &str) -> Answer<Value> {
        let url = format!("{}/{of}", self.session);
        call(&self.client, Method::GET, &url, Value::Null).await
    }

    async fn post(&self, to: &str, body: Value) -> Answer<Value> {
        let url = format!("{}/{to}", self.session);
        call(&self.client, Method::POST, &url, body).await
    }

    /// Ends Chromium.
    pub async fn end(&self) {
        let ended = call(&self.client, Method::DELETE, &self.session, Value::Null).await;
        ended.unwrap();
    }

    pub async fn go(&self, address: &str) {
        self.post("url", json!({"url": address})).await.unwrap();
    }

    pub async fn back(&self) {
        self.post("back", json!({})).await.unwrap();
    }

    pub async fn address(&self) -> String {
        text(&self.get("url").await.unwrap())
    }

    /// The document as it stands.
    pub async fn source(&self) -> String {
        text(&self.get("source").await.unwrap())
    }

    /// Everything an XPath names, shown or not.
    pub async fn all(&self, xpath: &str) -> Answer<Vec<Element>> {
        let wanted = json!({"using": "xpath", "value": xpath});
        let found = self.post("elements", wanted).await?;
        let of = |element: &Value| Element {
            driver: self.clone(),
            id: text(&element[ELEMENT]),
        };
        Ok(found.as_array().unwrap().iter().map(of).collect())
    }

    /// Runs a function's body in the page.
    pub async fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.post("execute/sync", body).await.unwrap()
    }

    /// Says something in the protocol of Chromium's own tools.
    pub async fn tell(&self, method: &str, what: Value) -> Value {
        let body = json!({"cmd": method, "params": what});
        self.post("goog/cdp/execute", body).await.unwrap()
    }

    /// What a log holds since it was asked last: level and message.
    pub async fn log(&self, kind: &str) -> Vec<(String, String)> {
        let lines = self.post("se/log", json!({"type": kind})).await.unwrap();
        let line = |line: &Value| (text(&line["level"]), text(&line["message"]));
        lines.as_array().unwrap().iter().map(line).collect()
    }

    /// Types on whatever has the focus.
    pub async fn types(&self, keys: &str) {
        let key = |key: char| {
            [
                json!({"type": "keyDown", "value": key}),
                json!({"type": "keyUp", "value": key}),
            ]
        };
        let strokes: Vec<Value> = keys.chars().flat_map(key).collect();
        let hands = json!([{"type": "key", "id": "keyboard", "actions": strokes}]);
        self.post("actions", json!({"actions": hands}))
            .await
            .unwrap();
    }
}

impl Element {
    async fn get(&self, of: &str) -> Answer<Value> {
        self.driver.get(&format!("element/{}/{of}", self.id)).await
    }

    async fn post(&self, to: &str, body: Value) -> Answer<Value> {
        let to = format!("element/{}/{to}", self.id);
        self.driver.post(&to, body).await
    }

    /// Whether a person sees it.
    pub async fn is_shown(&self) -> bool {
        self.get("displayed").await.is_ok_and(|shown| shown == true)
    }

    /// What a person reads in it; nothing where the page went on meanwhile.
    pub async fn text(&self) -> String {
        self.get("text").await.map_or(String::new(), |it| text(&it))
    }

    pub async fn click(&self) {
        self.post("click", json!({})).await.unwrap();
    }

    pub async fn clear(&self) {
        self.post("clear", json!({})).await.unwrap();
    }

    /// Types into it; into a field for files, the path of one.
    pub async fn write(&self, text: &str) {
        self.post("value", json!({"text": text})).await.unwrap();
    }

    /// Puts the pointer so many pixels right of its middle.
    pub async fn point(&self, right: i64) {
        let origin = json!({ELEMENT: self.id});
        let go =
            json!({"type": "pointerMove", "duration": 0, "origin": origin, "x": right, "y": 0});
        let hands = json!([{"type": "pointer", "id": "mouse", "actions": [go]}]);
        let acted = self.driver.post("actions", json!({"actions": hands})).await;
        acted.unwrap();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
