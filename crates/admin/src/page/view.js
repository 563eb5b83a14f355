// What a status shows.

const of = id => document.getElementById(id);
const perSecond = (value, point) => (isNumber(value) && point.span_ms > 0 ? (value * 1000) / point.span_ms : null);
const inTimes = (name, place) => point => (point[name] ? point[name][place] : null);
const percentiles = name => [
  { name: 'median', class: 'first', value: inTimes(name, 0) },
  { name: '95 %', class: 'second', value: inTimes(name, 1) },
  { name: '99 %', class: 'third', value: inTimes(name, 2) },
];

const charts = [
  ['Requests per second', count, [
    { name: 'answered', class: 'first', value: point => perSecond(point.requests, point) },
    { name: 'with a status of 5xx', class: 'third', value: point => perSecond(point.server_errors, point) },
  ]],
  ['Time in the application', duration, percentiles('service_ms')],
  ['Time in the queue', duration, percentiles('queue_ms')],
  ['Workers and backlog', count, [
    { name: 'busy workers', class: 'first', value: point => point.busy },
    { name: 'serving workers', class: 'second', value: point => point.serving },
    { name: 'connections that wait in the kernel', class: 'third', value: point => point.waiting },
  ]],
  ['Memory of molds and workers', bytes, [
    { name: 'shared memory divided (PSS)', class: 'first', value: point => point.pss_bytes },
    { name: 'private', class: 'second', value: point => point.private_bytes },
  ], true],
].map(([title, format, series, isOptional]) => new Chart(of('charts'), title, format, series, isOptional));

const plain = (title, value, kind = 'number', format = clean) => ({ title, value, kind, text: row => format(value(row)) });

const workers = new Table('workers', 'Workers, by slot', 'There is no worker.', [
  plain('Slot', worker => worker.slot),
  { ...plain('State', worker => worker.state, 'state'), state: true },
  plain('Request', worker => worker.request && worker.request.line, 'text line'),
  plain('For', worker => worker.request && worker.request.age_ms, 'number', duration),
  plain('Memory', worker => worker.memory && worker.memory.rss_bytes, 'number', bytes),
  plain('Requests', worker => worker.requests, 'number', count),
  plain('5xx', worker => worker.server_errors, 'number', count),
  plain('95 %', worker => worker.service && worker.service.p95_ms, 'number', duration),
  plain('Connections', worker => worker.connections),
  plain('Processor', worker => worker.cpu_ms, 'number', duration),
  plain('Ready since', worker => worker.ready_at, 'number', clock),
  plain('Generation', worker => worker.generation),
  plain('Process', worker => worker.pid),
], { place: 0, down: false });

const services = new Table('services', 'Services, by name', 'There is no service.', [
  plain('Service', service => service.name, 'state'),
  plain('State', service => service.state, 'state'),
  plain('Memory', service => service.memory && service.memory.rss_bytes, 'number', bytes),
  plain('Processor', service => service.cpu_ms, 'number', duration),
  plain('Since', service => service.started_at, 'number', clock),
  plain('Starts', service => service.starts, 'number', count),
  plain('Generation', service => service.generation),
  plain('Process', service => service.pid),
]);

const deaths = new Table('deaths', 'Deaths, the newest first', 'No process has died.', [
  plain('When', death => death.at, 'number', moment),
  plain('Cause', death => death.cause, 'state'),
  plain('What happened', death => death.text, 'text'),
  plain('Request', death => death.request, 'text line'),
  plain('For', death => death.age_ms, 'number', duration),
  plain('Peak memory', death => death.peak_rss_bytes, 'number', bytes),
  plain('Process', death => [death.kind, isNumber(death.slot) ? death.slot : death.service || '', `(${death.pid})`].join(' '), 'state'),
  plain('Generation', death => death.generation),
]);

const reloads = new Table('reloads', 'Reloads, the newest first', 'There was no reload.', [
  plain('When', reload => reload.at, 'number', moment),
  plain('Generation', reload => reload.generation),
  plain('Result', reload => (reload.failure ? 'failed' : 'succeeded'), 'state'),
  plain('Took', reload => reload.duration_ms, 'number', duration),
  plain('Why it failed', reload => reload.failure, 'text'),
]);

const listeners = new Table('listeners', 'Listeners with their backlogs', 'There is no listener.', [
  plain('Listener', backlog => backlog.listener, 'text'),
  plain('Connections that wait', backlog => backlog.waiting),
  plain('Limit', backlog => backlog.limit),
  plain('Most that waited', backlog => (backlog.most ? backlog.most.count : 0)),
]);

const memory = new Table('memory', 'Memory by generation', 'Nothing is known yet.', [
  plain('Processes of', part => part.name, 'state'),
  plain('Number', part => part.processes),
  plain('Resident', part => part.rss_bytes, 'number', bytes),
  plain('Shared divided (PSS)', part => part.pss_bytes, 'number', bytes),
  plain('Private', part => part.private_bytes, 'number', bytes),
]);

function showNow(status, points) {
  const last = points[points.length - 1] || {};
  const all = list(status.workers);
  const busy = all.filter(worker => worker.state === 'busy').length;
  const waiting = list(status.backlogs).reduce((sum, backlog) => sum + (backlog.waiting || 0), 0);
  const facts = [
    ['Requests per second', count(perSecond(last.requests, last))],
    ['95 % answered within', duration(inTimes('service_ms', 1)(last))],
    ['95 % queued up to', duration(inTimes('queue_ms', 1)(last))],
    ['Busy workers', `${busy} of ${all.length}`],
    ['No worker idle', isNumber(last.saturated) ? `${round(last.saturated * 100)} %` : MISSING],
    ['Wait in the kernel', count(waiting)],
    ['5xx per second', count(perSecond(last.server_errors, last))],
    ['Generation', clean(status.generation)],
  ];
  const now = of('now');
  while (now.children.length < facts.length) now.append(make('div', {}, make('dt'), make('dd')));
  facts.forEach(([name, value], place) => {
    show(now.children[place].children[0], name);
    show(now.children[place].children[1], value);
  });
}

function showWarnings(status) {
  const warnings = list(status.troubles).map(trouble =>
    `Worker ${trouble.slot} does not boot: ${trouble.failures} failures, next try in ${duration(trouble.next_try_ms)}.`);
  for (const service of list(status.services)) {
    if (isNumber(service.next_try_ms)) warnings.push(`Service ${service.name} has failed ${service.failures} times in a row, next try in ${duration(service.next_try_ms)}.`);
  }
  if (status.release && status.release.warning) warnings.push(status.release.warning);
  const failed = status.last_reload && status.last_reload.failure;
  if (failed) warnings.push(`The last reload failed: ${failed}`);
  const logs = status.logs || {};
  for (const [log, lost] of [['log', logs.server], ['access log', logs.access]]) {
    if (lost && lost.lost_lines > 0) warnings.push(`Lines of the ${log} were lost: ${count(lost.lost_lines)}, the last at ${moment(lost.last_at)} (${lost.last_error}).`);
  }
  const element = of('warnings');
  while (element.children.length > warnings.length) element.lastChild.remove();
  while (element.children.length < warnings.length) element.append(make('li'));
  warnings.forEach((warning, place) => show(element.children[place], clean(warning)));
}

function side(told) {
  const times = isNumber(told.p95_ms) ? `, p50 ${duration(told.p50_ms)}, p95 ${duration(told.p95_ms)}` : '';
  return `${count(told.requests)} requests, ${count(told.errors)} with 5xx, ${count(told.lost)} workers lost${times}`;
}

function trial(status) {
  const canary = status.canary;
  if (!canary) return '';
  const left = isNumber(canary.left_s) ? `${count(canary.left_s)} s left` : 'not all of it serve yet';
  return ` – canary: ${count(canary.workers)} of generation ${count(canary.generation)}, ${left}. New: ${side(canary.new || {})}. Old: ${side(canary.old || {})}.`;
}

function showStatus(status, points) {
  const roll = status.roll ? ` – ${status.roll.done} of ${status.roll.total} workers are new` : '';
  show(of('identity'), `${clean(status.version)}, process ${clean(status.pid)}, running for ${duration(status.uptime_s * 1000)}`);
  show(of('summary'), clean(status.summary || status.phase) + roll + trial(status));
  showNow(status, points);
  showWarnings(status);
  workers.fill(list(status.workers));
  of('services-section').hidden = !list(status.services).length;
  services.fill(list(status.services));
  listeners.fill(list(status.backlogs));
  const measured = status.memory || {};
  const generations = list(measured.generations).map(part => ({ ...part, name: `generation ${part.generation}` }));
  memory.fill(measured.master ? [...generations, { ...measured.master, name: 'master', processes: 1 }] : generations);
  const told = status.reloads || {};
  const recent = list(told.recent);
  show(of('reloads-summary'), isNumber(told.succeeded) ? `${told.succeeded} succeeded, ${told.failed} failed.` : '');
  reloads.fill(recent);
  const died = status.deaths || {};
  const causes = Object.entries(died.by_cause || {}).filter(([, number]) => number > 0);
  show(of('deaths-summary'), isNumber(died.total) ? clean([`${died.total} since the server began`, ...causes.map(([cause, number]) => `${cause}: ${number}`)].join(', ') + '.') : '');
}
