//! Files: `/v1/files`.

use kv_sdk::{Collected, Failure, Io, Page, Reply, Request, Response, Value, json};

use crate::errors::about;
use crate::pairs;
use crate::shape::{Checked, Id, Whole};
use crate::upload;

/// What `files.create` takes, beside the file. Parameters that are not listed here are passed on.
#[kv_sdk::input(open)]
pub struct CreateFile {
    /// `batch`, `fine-tune`, `vision`, `user_data`, `evals` or `assistants`.
    pub purpose: Id,
    /// The name of the attachment that is the file; needed only where there are several.
    pub file: Option<String>,
    pub expires_after: Option<Checked<ExpiresAfter>>,
}

/// When the service deletes the file.
#[kv_sdk::input(open)]
pub struct ExpiresAfter {
    /// `created_at`
    pub anchor: String,
    /// From an hour to 30 days.
    pub seconds: Checked<Whole<3600, 2592000>>,
}

/// Upload a file
///
/// The file is the call's attachment. The service deletes files of purpose `batch` after 30 days.
#[kv_sdk::operation(
    name = "files.create", effect = Write, suggest = Allow, facts(purpose = "/purpose"), endpoint = "POST /v1/files",
)]
pub async fn create(io: &Io, input: CreateFile) -> Result<Reply, Failure> {
    let file = upload::chosen(io, input.file.as_deref())?;
    let summary = format!("upload {} ({} bytes) for {}", file.name, file.size, input.purpose);
    let form = upload::form(pairs::of_input(io, &["file"]), file);
    io.forward_success(Request::post(["v1", "files"]).multipart(form).summary(summary)).await
}

/// What `files.retrieve` and `files.delete` take.
#[kv_sdk::input(open)]
pub struct OneFile {
    /// `file-...`
    pub file_id: Id,
}

/// Show a file
///
/// Its name, size and purpose; `files.content` has what is in it.
#[kv_sdk::operation(
    name = "files.retrieve", effect = Read, suggest = Allow, repeatable, endpoint = "GET /v1/files/{file_id}",
)]
pub async fn retrieve(io: &Io, input: OneFile) -> Result<Reply, Failure> {
    let request = Request::get(["v1", "files", &input.file_id]);
    io.forward_success(request).await.map_err(about("/file_id"))
}

/// Delete a file
///
/// It is gone from every vector store too.
#[kv_sdk::operation(
    name = "files.delete", effect = Destroy, suggest = Ask, endpoint = "DELETE /v1/files/{file_id}",
)]
pub async fn delete(io: &Io, input: OneFile) -> Result<Reply, Failure> {
    let request = Request::delete(["v1", "files", &input.file_id]).summary(format!("delete file {}", input.file_id));
    io.forward_success(request).await.map_err(about("/file_id"))
}

/// What `files.list` takes.
#[kv_sdk::input(open)]
pub struct ListFiles {
    /// Only files of this purpose.
    pub purpose: Option<Checked<String>>,
    /// How many files a page has; 10,000 unless said.
    pub limit: Option<Whole<1, 10000>>,
    /// The id of the last file that is known already.
    pub after: Option<Checked<String>>,
    pub order: Option<Checked<Order>>,
    /// Page after page is fetched and joined until there are so many files. Without it: one page, as it is.
    pub max: Option<Whole<1, 1000>>,
}

/// By the time of creation.
#[kv_sdk::input(open)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Asc,
    Desc,
}

/// As many files as a page has when pages are joined. A thousand files of the longest names fit into what a call can keep;
/// one page of the service's 10,000 would not.
const PAGE: usize = 100;

/// List the files
///
/// One page as the service sends it, or with `max` as many pages as it takes, joined. `has_more` says whether there are
/// others, which begin after `last_id`.
#[kv_sdk::operation(
    name = "files.list", effect = Read, suggest = Allow, repeatable, endpoint = "GET /v1/files",
)]
pub async fn list(io: &Io, input: ListFiles) -> Result<Reply, Failure> {
    let Some(Whole(max)) = input.max else {
        return io.forward_success(Request::get(["v1", "files"]).queries(pairs::of_input(io, &[]))).await;
    };
    let page = input.limit.map_or(PAGE, |limit| count(limit.0).min(PAGE));
    let first = pairs::of_input(io, &["limit", "max"]);
    let ask = |after: Option<&str>, wanted: usize| {
        let mut query = first.clone();
        if let Some(after) = after {
            query.retain(|(name, _)| name != "after");
            query.push(("after".to_owned(), after.to_owned()));
        }
        Request::get(["v1", "files"]).queries(query).query("limit", wanted.min(page))
    };
    let Collected { items, more } = io.collect(count(max), ask, read_page).await?;
    let id = |file: Option<&Value>| file.map_or(Value::Null, |file| file["id"].clone());
    Ok(Reply::from(json!({
        "object": "list",
        "first_id": id(items.first()),
        "last_id": id(items.last()),
        "has_more": more,
        "data": items,
    })))
}

/// The schema keeps it positive and small.
fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// A page as the service sends it.
#[kv_sdk::data]
struct FilePage {
    data: Vec<Value>,
    #[serde(default)]
    has_more: bool,
}

fn read_page(response: Response) -> Result<Page, Failure> {
    let FilePage { data, has_more } = response.error_for_status()?.json()?;
    let last = data.last().and_then(|file| file["id"].as_str()).map(str::to_owned);
    Ok(Page { next: last.filter(|_| has_more), items: data })
}
