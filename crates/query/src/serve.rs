//! gRPC in: questions about totals, reports, submissions and the catalogue.

use std::sync::Arc;

use access::{Access, Principal, Unauthenticated};
use domain::{UnitIx, Violations, access::PrincipalName, judge};
use futures_util::{StreamExt as _, stream::BoxStream};
use messaging::audit::Refusals;
use proto::encoded::Encoded;
use proto::pb::query::v1::{
    BatchGetTotalsRequest, BatchGetTotalsResponse, GetCatalogueRequest, GetCatalogueResponse, GetReportRequest,
    GetReportResponse, GetSeriesRequest, GetSeriesResponse, GetSubmissionRequest, GetSubmissionResponse,
    GetTotalsRequest, GetTotalsResponse, ListBreakdownRequest, ListBreakdownResponse, ListChildTotalsRequest,
    ListChildTotalsResponse, ListContributionsRequest, ListContributionsResponse, ListOrgUnitsRequest,
    ListOrgUnitsResponse, ListReportsRequest, ListReportsResponse, MovedTotals, SeriesEntry, Totals, WatchManyRequest,
    WatchManyResponse, WatchTotalsRequest, WatchTotalsResponse, query_service_server::QueryService,
};
use runtime::{Clock, Shutdown, grpc::Peer, quota::Rates};
use tonic::{Request, Response, Status, codegen::http};

use crate::{
    Limits, answer,
    breakdown::{self, Breakdown},
    caller::Caller,
    definitions,
    org_units::Wanted,
    page,
    past::{self, Contributions},
    question::{Asked, Question},
    range::{self, Range},
    read::{Questions, Reader},
    refused::Refused,
    reports, resume,
    selection::{self, Selection},
    watch::{self, Hub, News, Watcher},
};

/// The most questions of a batch.
const MOST_QUESTIONS: usize = 20;

/// The most revisions of a report that are told.
const MOST_REVISIONS: usize = 100;

/// The gRPC service.
#[derive(Debug)]
pub(crate) struct Service {
    access: Access,
    refusals: Refusals,
    clock: Arc<dyn Clock>,
    rates: Rates<PrincipalName>,
    reader: Arc<Reader>,
    hub: Arc<Hub>,
    limits: Limits,
    shutdown: Shutdown,
}

impl Service {
    pub(crate) fn new(
        access: Access,
        refusals: Refusals,
        clock: Arc<dyn Clock>,
        reader: Arc<Reader>,
        hub: Arc<Hub>,
        limits: Limits,
        shutdown: Shutdown,
    ) -> Self {
        let rates = Rates::of(limits.calls_per_second_of_one, limits.calls_at_once_of_one);
        Self { access, refusals, clock, rates, reader, hub, limits, shutdown }
    }

    /// Who calls; the gate has asked. Whoever calls too often is told to come again.
    pub(crate) fn caller<T>(&self, request: &http::Request<T>) -> Result<Caller, Refused> {
        let principal = request.extensions().get().cloned();
        let principal: Principal = principal.ok_or(Refused::Unauthenticated(Unauthenticated::Missing))?;
        self.rates.take(&principal.name).map_err(|retry_after| Refused::TooOften {
            caller: principal.name.clone(),
            a_second: self.rates.a_second(),
            retry_after,
        })?;
        let peer = request.extensions().get().map(|Peer(peer)| *peer);
        let (access, refusals, clock) = (self.access.clone(), self.refusals.clone(), Arc::clone(&self.clock));
        Ok(Caller { principal, peer, access, refusals, clock })
    }

    async fn totals(&self, request: &GetTotalsRequest) -> Result<Totals, Refused> {
        let GetTotalsRequest { org_unit, data_set, period, cells, as_of } = request;
        let until = past::until(as_of.as_ref());
        let question = Questions::new(&self.reader).read(Asked { org_unit, data_set, period }, until).await?;
        let selection = Selection::read(question.data_set(self.reader.catalogue()), cells)?;
        let totals = match until {
            None => self.reader.totals(question).await?.totals.clone(),
            Some(until) => self.reader.totals_then(question, until).await?,
        };
        Ok(self.selected(question, &selection, totals))
    }

    /// The answer to a question for totals. What many ask for is encoded already.
    pub(crate) async fn encoded_totals(&self, request: &GetTotalsRequest) -> Result<Encoded, Refused> {
        let GetTotalsRequest { org_unit, data_set, period, cells, as_of } = request;
        if cells.is_empty() && as_of.is_none() {
            let question = self.reader.question(Asked { org_unit, data_set, period }).await?;
            return Ok(self.reader.totals(question).await?.encoded());
        }
        Ok(Encoded::new(&GetTotalsResponse { totals: Some(self.totals(request).await?) }))
    }

    fn selected(&self, question: Question, selection: &Selection, mut totals: Totals) -> Totals {
        selection.apply(question.data_set(self.reader.catalogue()), &mut totals);
        totals
    }

    async fn batch(&self, request: &BatchGetTotalsRequest) -> Result<BatchGetTotalsResponse, Refused> {
        let BatchGetTotalsRequest { questions } = request;
        if !(1..=MOST_QUESTIONS).contains(&questions.len()) {
            return Err(Refused::invalid(
                "TOO_MANY_QUESTIONS",
                "questions",
                format!("Mỗi lần hỏi được từ 1 đến {MOST_QUESTIONS} câu, không phải {}.", questions.len()),
                format!("a batch has 1 to {MOST_QUESTIONS} questions, not {}", questions.len()),
            ));
        }
        let within = |at: usize| move |refused: Refused| refused.within(&format!("questions[{at}]."));
        let (mut named, mut asked) = (Questions::new(&self.reader), Vec::with_capacity(questions.len()));
        for (at, request) in questions.iter().enumerate() {
            let GetTotalsRequest { org_unit, data_set, period, cells, as_of } = request;
            let until = past::until(as_of.as_ref());
            let question = named.read(Asked { org_unit, data_set, period }, until).await.map_err(within(at))?;
            let data_set = question.data_set(self.reader.catalogue());
            let selection = Selection::read(data_set, cells).map_err(within(at))?;
            asked.push((question, selection, until));
        }
        let present: Vec<_> =
            asked.iter().filter(|(_, _, until)| until.is_none()).map(|(question, _, _)| *question).collect();
        let mut present = self.reader.read_together(&present).await?.into_iter();
        let mut totals = Vec::with_capacity(asked.len());
        for (at, (question, selection, until)) in asked.iter().enumerate() {
            let answer = match until {
                None => present.next().ok_or(Refused::DatabaseMalformed)?,
                Some(until) => self.reader.totals_then(*question, *until).await.map_err(within(at))?,
            };
            totals.push(self.selected(*question, selection, answer));
        }
        Ok(BatchGetTotalsResponse { totals })
    }

    async fn series(&self, request: &GetSeriesRequest) -> Result<GetSeriesResponse, Refused> {
        let GetSeriesRequest { org_unit, data_set, from, to, cells } = request;
        let catalogue = self.reader.catalogue();
        let (mut periods, caller) =
            (range::questions(catalogue, Range { org_unit, data_set, from, to })?, Caller::current()?);
        // The unit may have belonged to somebody else before.
        for (_, question) in &mut periods {
            *question = question.filter(|question| caller.reads(catalogue, question));
        }
        let data_set = catalogue.find_data_set(data_set).ok_or(Refused::DatabaseMalformed)?;
        let selection = Selection::read(data_set, cells)?;
        let questions: Vec<_> = periods.iter().filter_map(|(_, question)| *question).collect();
        let mut answers = self.reader.read_alone(&questions).await?.into_iter();
        let mut log_position = 0;
        let entries = periods.iter().map(|(period, question)| {
            let totals = question.and_then(|question| {
                let totals = self.selected(question, &selection, answers.next()?);
                log_position = totals.log_position;
                Some(totals)
            });
            SeriesEntry { period: period.to_string(), totals }
        });
        let entries = entries.collect();
        Ok(GetSeriesResponse { entries, log_position })
    }

    async fn children(&self, request: ListChildTotalsRequest) -> Result<ListChildTotalsResponse, Refused> {
        let ListChildTotalsRequest { org_unit, data_set, period, page_size, page_token } = &request;
        let catalogue = self.reader.catalogue();
        let question = self.reader.question(Asked { org_unit, data_set, period }).await?;
        let size = page::size(*page_size, self.limits.max_page_size)?;
        // By the name of the period that was found: another `latest` is another list.
        let found = question.period.to_string();
        let list = &[org_unit, data_set, found.as_str()];
        let after = page::after(list, page_token)?;

        let vintage = question.vintage(catalogue);
        let rest = page::rest(vintage, &question.unit(catalogue).children, after.as_ref());
        let (units, more) = rest.split_at(size.min(rest.len()));
        let totals = self.reader.totals_of(question, units).await?;
        let last = units.last().filter(|_| !more.is_empty());
        let next_page_token = last.map(|unit| page::token(list, &vintage.unit(*unit).code)).unwrap_or_default();
        Ok(ListChildTotalsResponse { totals, next_page_token })
    }

    async fn breakdown(&self, request: &ListBreakdownRequest) -> Result<ListBreakdownResponse, Refused> {
        let ListBreakdownRequest {
            org_unit,
            data_set,
            period,
            level,
            sort_by,
            descending,
            cells,
            page_size,
            page_token,
        } = request;
        let catalogue = self.reader.catalogue();
        let question = self.reader.question(Asked { org_unit, data_set, period }).await?;
        let of = question.data_set(catalogue);
        let units = breakdown::units(catalogue, question, level)?;
        let key = breakdown::Key::read(of, sort_by.as_ref())?;
        let selection = Selection::read(of, cells)?;
        let size = page::size(*page_size, self.limits.max_page_size)?;
        let (found, name) = (question.period.to_string(), key.name());
        let direction = if *descending { "down" } else { "up" };
        let list = &[org_unit, data_set, found.as_str(), "breakdown", level, name.as_str(), direction];
        let asked = Breakdown { question, units: &units, key, descending: *descending, list };
        let mut page = self.reader.breakdown(asked, page_token, size).await?;
        for totals in page.units.iter_mut().filter_map(|unit| unit.totals.as_mut()) {
            selection.apply(of, totals);
        }
        Ok(page)
    }

    async fn contributions(&self, request: &ListContributionsRequest) -> Result<ListContributionsResponse, Refused> {
        let ListContributionsRequest { org_unit, data_set, period, cell, level, as_of, page_size, page_token } =
            request;
        let catalogue = self.reader.catalogue();
        let until = past::until(as_of.as_ref());
        let question = Questions::new(&self.reader).read(Asked { org_unit, data_set, period }, until).await?;
        let place = selection::one(question.data_set(catalogue), cell.as_ref(), "cell")?;
        let level = Some(level.as_str()).filter(|level| !level.is_empty());
        if let Some(level) = level {
            breakdown::level_of(catalogue, level, "level")?;
        }
        let size = page::size(*page_size, self.limits.max_page_size)?;
        let (found, cell, then) = (question.period.to_string(), place.to_string(), format!("{until:?}"));
        let list = &[org_unit, data_set, found.as_str(), "contributions", &cell, level.unwrap_or(""), &then];
        self.reader.contributions(Contributions { question, cell: place, level, until, list }, page_token, size).await
    }

    async fn reports(&self, request: ListReportsRequest) -> Result<ListReportsResponse, Refused> {
        let ListReportsRequest { org_unit, data_set, period, filter, page_size, page_token } = &request;
        let catalogue = self.reader.catalogue();
        let question = Question::of_reports(catalogue, Asked { org_unit, data_set, period })?;
        let wanted = reports::filter(*filter)?;
        let size = page::size(*page_size, self.limits.max_page_size)?;
        let filter = filter.to_string();
        let list = &[org_unit, data_set, period, "reports", filter.as_str()];
        let after = page::after(list, page_token)?;

        let units = reports::reporting(catalogue, question);
        let rest = page::rest(question.vintage(catalogue), &units, after.as_ref());
        let (looked_at, _) = rest.split_at(reports::LOOKED_AT.min(rest.len()));
        let found = self.reader.reports(question, looked_at, wanted, size).await?;
        let (reports, done) = reports::page(catalogue, question, looked_at, found, size);
        let last = rest[..done].last().filter(|_| done < rest.len());
        let code = |unit: &UnitIx| &question.vintage(catalogue).unit(*unit).code;
        let next_page_token = last.map(|unit| page::token(list, code(unit))).unwrap_or_default();
        Ok(ListReportsResponse { reports, next_page_token })
    }

    async fn report(&self, request: &GetReportRequest) -> Result<GetReportResponse, Refused> {
        let GetReportRequest { org_unit, data_set, period } = request;
        let catalogue = self.reader.catalogue();
        let question = Question::of_reports(catalogue, Asked { org_unit, data_set, period })?;
        let (revisions, omitted, up_to) = self.reader.report(question, MOST_REVISIONS).await?;
        Ok(answer::revisions(catalogue, question, revisions, omitted, up_to))
    }

    async fn submission(&self, text: &str) -> Result<GetSubmissionResponse, Refused> {
        let mut violations = Violations::default();
        let Some(id) = judge::read_submission_id(text, &mut violations) else {
            return Err(Refused::Malformed(violations));
        };
        let caller = Caller::current()?;
        let found = self.reader.submission(id, caller.principal.name.as_str()).await?;
        caller.may_hear(self.reader.catalogue(), &found.claim, &found.principal)?;
        Ok(answer::submission(id.to_string(), found))
    }

    fn catalogue(&self, request: &GetCatalogueRequest) -> Result<GetCatalogueResponse, Refused> {
        let GetCatalogueRequest { data_set } = request;
        let catalogue = self.reader.catalogue();
        let only = if data_set.is_empty() { None } else { Some(Question::data_set_of(catalogue, data_set)?) };
        Ok(definitions::catalogue(catalogue, only))
    }

    fn org_units(&self, request: &ListOrgUnitsRequest) -> Result<ListOrgUnitsResponse, Refused> {
        let ListOrgUnitsRequest { date, org_unit, level, name, page_size, page_token } = request;
        let catalogue = self.reader.catalogue();
        let wanted = Wanted::read(catalogue, request)?;
        let size = page::size(*page_size, self.limits.max_page_size)?;
        let list = &["org_units", date, org_unit, level, name];
        let after = page::after(list, page_token)?;
        let (org_units, more) = wanted.page(catalogue, after.as_ref(), size);
        let last = org_units.last().filter(|_| more).and_then(|unit| unit.code.parse().ok());
        let next_page_token = last.map(|last| page::token(list, &last)).unwrap_or_default();
        Ok(ListOrgUnitsResponse { org_units, next_page_token, catalogue_version: catalogue.version().to_string() })
    }

    /// Every combination of what is to be watched.
    async fn watched(&self, request: &WatchManyRequest) -> Result<Vec<Question>, Refused> {
        let WatchManyRequest { org_units, data_sets, periods, .. } = request;
        let count = org_units.len().checked_mul(data_sets.len()).and_then(|count| count.checked_mul(periods.len()));
        let count = count.unwrap_or(usize::MAX);
        if !(1..=watch::MOST).contains(&count) {
            let (most, told) = (watch::MOST, if count == usize::MAX { "∞".to_owned() } else { count.to_string() });
            return Err(Refused::invalid(
                "WATCH_TOO_LARGE",
                "org_units",
                format!(
                    "Mỗi luồng theo dõi được từ 1 đến {most} số tổng hợp (đơn vị × biểu mẫu × kỳ), không phải {told}."
                ),
                format!("a watch has 1 to {most} totals (units × data sets × periods), not {told}"),
            ));
        }
        let (mut named, mut questions) = (Questions::new(&self.reader), Vec::with_capacity(count));
        for org_unit in org_units {
            for data_set in data_sets {
                for period in periods {
                    questions.push(named.read(Asked { org_unit, data_set, period }, None).await?);
                }
            }
        }
        Ok(questions)
    }

    async fn watch_all(
        &self,
        request: &WatchManyRequest,
    ) -> Result<BoxStream<'static, Result<WatchManyResponse, Status>>, Refused> {
        let questions = self.watched(request).await?;
        let catalogue = self.reader.catalogue();
        let mut selections = Vec::with_capacity(request.data_sets.len());
        for question in &questions {
            if !selections.iter().any(|(of, _)| *of == question.data_set) {
                let data_set = question.data_set(catalogue);
                selections.push((question.data_set, Selection::read(data_set, &request.cells)?));
            }
        }
        let known = resume::read(catalogue, &questions, &request.resume_token)?;
        let (reader, asked) = (Arc::clone(&self.reader), questions.clone());
        let mut versions = known.clone();
        let watcher =
            Watcher::new(Arc::clone(&self.reader), &self.hub, questions, known, &self.limits, self.shutdown.clone())?;
        let stream = watcher.stream(move |News { moved, caught_up }| {
            let moved = moved.into_iter().map(|watch::Moved { place, told, passed_over }| {
                versions[place] = Some(told.totals.version);
                let question = asked[place];
                let mut totals = told.totals.clone();
                if let Some((_, selection)) = selections.iter().find(|(of, _)| *of == question.data_set) {
                    selection.apply(question.data_set(reader.catalogue()), &mut totals);
                }
                MovedTotals { totals: Some(totals), passed_over }
            });
            let moved = moved.collect();
            let resume_token = resume::token(reader.catalogue(), &asked, &versions);
            WatchManyResponse { moved, resume_token, caught_up }
        });
        Ok(stream.map(|news| news.map_err(Status::from)).boxed())
    }
}

#[tonic::async_trait]
impl QueryService for Service {
    // `crate::warm` answers this call before it gets here, with the same.
    async fn get_totals(&self, request: Request<GetTotalsRequest>) -> Result<Response<GetTotalsResponse>, Status> {
        let totals = self.totals(&request.into_inner()).await?;
        Ok(Response::new(GetTotalsResponse { totals: Some(totals) }))
    }

    async fn batch_get_totals(
        &self,
        request: Request<BatchGetTotalsRequest>,
    ) -> Result<Response<BatchGetTotalsResponse>, Status> {
        Ok(Response::new(self.batch(&request.into_inner()).await?))
    }

    async fn get_series(&self, request: Request<GetSeriesRequest>) -> Result<Response<GetSeriesResponse>, Status> {
        Ok(Response::new(self.series(&request.into_inner()).await?))
    }

    async fn list_child_totals(
        &self,
        request: Request<ListChildTotalsRequest>,
    ) -> Result<Response<ListChildTotalsResponse>, Status> {
        Ok(Response::new(self.children(request.into_inner()).await?))
    }

    async fn list_breakdown(
        &self,
        request: Request<ListBreakdownRequest>,
    ) -> Result<Response<ListBreakdownResponse>, Status> {
        Ok(Response::new(self.breakdown(&request.into_inner()).await?))
    }

    async fn list_contributions(
        &self,
        request: Request<ListContributionsRequest>,
    ) -> Result<Response<ListContributionsResponse>, Status> {
        Ok(Response::new(self.contributions(&request.into_inner()).await?))
    }

    type WatchTotalsStream = BoxStream<'static, Result<WatchTotalsResponse, Status>>;

    async fn watch_totals(
        &self,
        request: Request<WatchTotalsRequest>,
    ) -> Result<Response<Self::WatchTotalsStream>, Status> {
        let WatchTotalsRequest { org_unit, data_set, period } = &request.into_inner();
        let question = self.reader.question(Asked { org_unit, data_set, period }).await?;
        let (reader, shutdown) = (Arc::clone(&self.reader), self.shutdown.clone());
        let watcher = Watcher::new(reader, &self.hub, vec![question], vec![None], &self.limits, shutdown)?;
        // A message has one total, as there is one.
        let responses = watcher.stream(|News { moved, .. }| {
            let totals = moved.into_iter().next().map(|moved| moved.told.totals.clone());
            WatchTotalsResponse { totals }
        });
        Ok(Response::new(responses.map(|response| response.map_err(Status::from)).boxed()))
    }

    type WatchManyStream = BoxStream<'static, Result<WatchManyResponse, Status>>;

    async fn watch_many(&self, request: Request<WatchManyRequest>) -> Result<Response<Self::WatchManyStream>, Status> {
        Ok(Response::new(self.watch_all(&request.into_inner()).await?))
    }

    async fn list_reports(
        &self,
        request: Request<ListReportsRequest>,
    ) -> Result<Response<ListReportsResponse>, Status> {
        Ok(Response::new(self.reports(request.into_inner()).await?))
    }

    async fn get_report(&self, request: Request<GetReportRequest>) -> Result<Response<GetReportResponse>, Status> {
        Ok(Response::new(self.report(&request.into_inner()).await?))
    }

    async fn get_submission(
        &self,
        request: Request<GetSubmissionRequest>,
    ) -> Result<Response<GetSubmissionResponse>, Status> {
        let GetSubmissionRequest { submission_id } = request.into_inner();
        Ok(Response::new(self.submission(&submission_id).await?))
    }

    async fn get_catalogue(
        &self,
        request: Request<GetCatalogueRequest>,
    ) -> Result<Response<GetCatalogueResponse>, Status> {
        Ok(Response::new(self.catalogue(&request.into_inner())?))
    }

    async fn list_org_units(
        &self,
        request: Request<ListOrgUnitsRequest>,
    ) -> Result<Response<ListOrgUnitsResponse>, Status> {
        Ok(Response::new(self.org_units(&request.into_inner())?))
    }
}
