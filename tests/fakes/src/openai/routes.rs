//! Which endpoint a request is for. A path that exists under another method is told apart from one that does not exist.

use super::error::Error;
use super::state::{Query, State};
use super::{
    OpenAiOptions, audio, batches, chat, embeddings, files, images, models, moderations, realtime, responses, uploads,
    vector_stores,
};
use crate::record::Recorded;
use crate::reply::Reply;

pub(super) fn route(request: &Recorded, state: &mut State, options: &OpenAiOptions) -> Result<Reply, Error> {
    let segments: Vec<&str> = request.path().split('/').skip(1).collect();
    let Some((&"v1", rest)) = segments.split_first() else { return Err(Error::no_url(request)) };
    let query = Query::of(request);
    let method = request.method.as_str();
    match (method, rest) {
        ("GET", ["models"]) => Ok(models::list()),
        ("GET", ["models", id]) => models::retrieve(id),
        ("DELETE", ["models", id]) => models::delete(id),

        ("POST", ["chat", "completions"]) => chat::create(request, state, options),

        ("POST", ["responses"]) => responses::create(request, state, options),
        ("GET", ["responses", id]) => responses::retrieve(id, state),
        ("DELETE", ["responses", id]) => responses::delete(id, state),
        ("POST", ["responses", id, "cancel"]) => responses::cancel(id, state),
        ("GET", ["responses", id, "input_items"]) => responses::input_items(id, state),

        ("POST", ["embeddings"]) => embeddings::create(request),
        ("POST", ["moderations"]) => moderations::create(request, state),

        ("POST", ["images", "generations"]) => images::generate(request),
        ("POST", ["images", "edits" | "variations"]) => images::edit(request),

        ("POST", ["audio", "transcriptions"]) => audio::transcribe(request, options),
        ("POST", ["audio", "translations"]) => audio::transcribe(request, options),
        ("POST", ["audio", "speech"]) => audio::speak(request, options),

        ("POST", ["files"]) => files::create(request, state),
        ("GET", ["files"]) => files::list(&query, state),
        ("GET", ["files", id]) => files::retrieve(id, state),
        ("GET", ["files", id, "content"]) => files::content(id, state),
        ("DELETE", ["files", id]) => files::delete(id, state),

        ("POST", ["uploads"]) => uploads::create(request, state),
        ("POST", ["uploads", id, "parts"]) => uploads::add_part(id, request, state),
        ("POST", ["uploads", id, "complete"]) => uploads::complete(id, request, state),
        ("POST", ["uploads", id, "cancel"]) => uploads::cancel(id, state),

        ("POST", ["batches"]) => batches::create(request, state),
        ("GET", ["batches"]) => query.list(&state.batches, 100, 20, |_| true),
        ("GET", ["batches", id]) => batches::retrieve(id, state, options),
        ("POST", ["batches", id, "cancel"]) => batches::cancel(id, state),

        ("POST", ["vector_stores"]) => vector_stores::create(request, state),
        ("GET", ["vector_stores"]) => query.list(&state.vector_stores, 100, 20, |_| true),
        ("GET", ["vector_stores", id]) => vector_stores::retrieve(id, state),
        ("POST", ["vector_stores", id]) => vector_stores::update(id, request, state),
        ("DELETE", ["vector_stores", id]) => vector_stores::delete(id, state),
        ("POST", ["vector_stores", id, "search"]) => vector_stores::search(id, request, state),
        ("POST", ["vector_stores", id, "files"]) => vector_stores::add_file(id, request, state),
        ("GET", ["vector_stores", id, "files"]) => vector_stores::list_files(id, &query, state),
        ("GET", ["vector_stores", id, "files", file]) => vector_stores::retrieve_file(id, file, state),
        ("DELETE", ["vector_stores", id, "files", file]) => vector_stores::remove_file(id, file, state),

        ("POST", ["realtime", "client_secrets"]) => realtime::client_secret(request, state),

        (_, path) if exists(path) => Err(Error::no_method(request)),
        _ => Err(Error::no_url(request)),
    }
}

fn exists(path: &[&str]) -> bool {
    matches!(
        path,
        ["models" | "embeddings" | "moderations" | "responses" | "files" | "uploads" | "batches" | "vector_stores"]
            | ["models" | "responses" | "files" | "batches" | "vector_stores", _]
            | ["chat", "completions"]
            | ["audio", "transcriptions" | "translations" | "speech"]
            | ["images", "generations" | "edits" | "variations"]
            | ["realtime", "client_secrets"]
            | ["files", _, "content"]
            | ["uploads", _, "parts" | "complete" | "cancel"]
            | ["batches", _, "cancel"]
            | ["responses", _, "cancel" | "input_items"]
            | ["vector_stores", _, "search" | "files"]
            | ["vector_stores", _, "files", _]
    )
}
