//! What runs have left behind is found by its notes and undone, without the runs and without the daemon. What bears no note is not touched.

use super::{Ground, INJECTED, Note, Undone};
use crate::clients::CallError;

/// What was found, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The object, such as `node/ip-10-0-1-5`; or the kind, when its objects can not be looked at.
    pub object: String,
    /// Its note; none when it can not be read.
    pub note: Option<Note>,
    /// What was done, or why it was left alone; or what kept it from being done.
    pub came: Result<Undone, CallError>,
}

/// Undoes what the notes in the namespace, on its own object and on the nodes tell of: of this run, or of every run in this namespace. Each object is gone on with, whatever comes of the others.
///
/// # Errors
/// When the Deployments of the namespace can not be looked at.
pub async fn cleanup(ground: &Ground, run: Option<&str>) -> Result<Vec<Cleaned>, CallError> {
    let Ground { kubernetes, namespace, .. } = ground;
    let mut all = Vec::new();
    for object in &kubernetes.objects_of("deployment", namespace).await? {
        let name = format!("deployment/{}", object.name());
        if let Some(note) = found(namespace, object.annotation(INJECTED), run) {
            let came = ground.undo_deployment(object, run).await;
            all.push(Cleaned { object: name, note, came });
        }
    }
    match kubernetes.objects_of("job", namespace).await {
        Ok(jobs) => {
            for job in &jobs {
                if let Some(note) = found(namespace, job.annotation(INJECTED), run) {
                    let came = ground.undo_job(job, run).await;
                    all.push(Cleaned { object: format!("job/{}", job.name()), note, came });
                }
            }
        }
        Err(error) => all.push(Cleaned { object: "jobs".to_owned(), note: None, came: Err(error) }),
    }
    let own = format!("namespace/{namespace}");
    match kubernetes.namespace(namespace).await {
        Ok(Some(object)) => {
            if let Some(note) = found(namespace, object.annotation(INJECTED), run) {
                let came = ground.undo_namespace(&object, run).await;
                all.push(Cleaned { object: own, note, came });
            }
        }
        Ok(None) => {}
        Err(error) => all.push(Cleaned { object: own, note: None, came: Err(error) }),
    }
    // Whoever may not see the nodes has not cordoned one; but another may have.
    match kubernetes.nodes().await {
        Ok(nodes) => {
            for node in nodes.iter() {
                let text = node.annotations.get(INJECTED).map(String::as_str);
                if let Some(note) = found(namespace, text, run) {
                    let came = ground.undo_node(node, run).await;
                    all.push(Cleaned { object: format!("node/{}", node.name), note, came });
                }
            }
        }
        Err(error) => all.push(Cleaned { object: "nodes".to_owned(), note: None, came: Err(error) }),
    }
    Ok(all)
}

/// Whether there is a note that is meant: of this run and this namespace, or one that can not be read, which is to be told of.
fn found(namespace: &str, text: Option<&str>, run: Option<&str>) -> Option<Option<Note>> {
    match Note::read(text?) {
        Ok(note) => {
            let meant = note.namespace == namespace && run.is_none_or(|run| run == note.run);
            meant.then_some(Some(note))
        }
        Err(_) => Some(None),
    }
}
