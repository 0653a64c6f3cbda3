//! `--wait`: asking for the fate of every acknowledged report.

use std::{collections::VecDeque, time::Duration};

use proto::pb::query::v1::{GetSubmissionRequest, query_service_client::QueryServiceClient};
use runtime::Backoff;
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Response, Status};

use super::{
    send::Interrupt,
    tell::{Fates, Summary, Teller},
};
use crate::{
    output::Failure,
    peer::{ANSWER_WITHIN, Peer},
    report_file::FileReport,
};

/// Questions asked at a time.
const AT_A_TIME: usize = 32;

/// Asks until every fate is known or patience is at its end; whether Ctrl-C came first.
pub(super) async fn ask(
    query: &str,
    mut undecided: VecDeque<&FileReport>,
    patience: Duration,
    teller: Teller<'_>,
    interrupt: &mut Interrupt<'_>,
    summary: &mut Summary,
) -> Result<bool, Failure> {
    let peer = Peer::query(query);
    let started = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut fates = Fates::default();
    let mut interrupted = false;
    let mut failed = None;
    while !undecided.is_empty() {
        let asked = tokio::select! {
            () = interrupt.as_mut() => { interrupted = true; break; }
            asked = round(&peer, &mut undecided, teller, &mut fates) => asked,
        };
        match asked {
            Ok(()) => {}
            Err(failure) if failure.may_pass && started.elapsed() < patience => {}
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
        if undecided.is_empty() || started.elapsed() >= patience {
            break;
        }
        tokio::select! {
            () = interrupt.as_mut() => { interrupted = true; break; }
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
    fates.undecided = undecided.len();
    undecided.into_iter().for_each(|of| teller.undecided(of));
    summary.fates = Some(fates);
    failed.map_or(Ok(interrupted), Err)
}

/// Asks once for every one that is undecided, some at a time; leaves those that still are.
async fn round(
    peer: &Peer,
    undecided: &mut VecDeque<&FileReport>,
    teller: Teller<'_>,
    fates: &mut Fates,
) -> Result<(), Failure> {
    let client = QueryServiceClient::new(peer.connect().await?);
    let mut left = undecided.len();
    while left > 0 {
        let asked = left.min(AT_A_TIME);
        let mut calls = JoinSet::new();
        for (place, of) in undecided.iter().take(asked).enumerate() {
            let (mut client, submission_id) = (client.clone(), of.report.submission_id.clone());
            calls.spawn(async move {
                let call = client.get_submission(GetSubmissionRequest { submission_id });
                let answer = tokio::time::timeout(ANSWER_WITHIN, call).await;
                (place, answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))))
            });
        }
        let mut answers = calls.join_all().await;
        answers.sort_by_key(|(place, _)| *place);
        let mut failed = None;
        // Nothing is awaited from here on: a report is told of once, whenever Ctrl-C comes.
        for (of, (_, answer)) in undecided.drain(..asked).collect::<Vec<_>>().into_iter().zip(answers) {
            match answer.map(Response::into_inner) {
                Ok(answer) if fates.count(answer.fate()) => teller.fate(of, &answer),
                Ok(_) => undecided.push_back(of),
                Err(status) => {
                    undecided.push_back(of);
                    // Not found means that it is on its way.
                    if status.code() != Code::NotFound {
                        failed = Some(peer.refused(&status));
                    }
                }
            }
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        left -= asked;
    }
    Ok(())
}
