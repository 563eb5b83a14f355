// The stream of events: a status each second while the page is looked at, and the points that it has not seen.

const AGAIN_MS = 2000;
const SILENCE_MS = 5000;
const NOTABLE = ['delaying', 'stopping', 'winched'];
let points = [], lastId = '', source = null, again = null, silence = null, clockOffset = 0, toldAt = 0, seen = {};

function connection(state, text) {
  if (of('connection').dataset.state === state) return;
  of('connection').dataset.state = state;
  show(of('connection-text'), text);
  if (state !== 'connecting') news(state === 'live' ? 'The page is live.' : `The page is not live: ${text}.`);
}

// Only what happens seldom: a screen reader reads it out.
function news(text) {
  show(of('news'), text);
}

function take(event) {
  lastId = event.lastEventId || lastId;
  clearTimeout(silence);
  silence = setTimeout(() => connection('lost', 'no answer'), SILENCE_MS);
  const told = JSON.parse(event.data);
  clockOffset = told.now_ms - Date.now();
  // After a new process of the server's the same moments can come again.
  const newest = points.length ? points[points.length - 1].at_ms : 0;
  points = points.concat(list(told.points).filter(point => point.at_ms > newest)).filter(point => point.at_ms > told.now_ms - WINDOW_MS);
  return told;
}

function draw() {
  const now = Date.now() + clockOffset;
  for (const chart of charts) chart.draw(points, now);
  if (!points.length || Date.now() - toldAt < 10000) return;
  toldAt = Date.now();
  for (const chart of charts) chart.tell(points);
}

function tellNews(status) {
  const next = {
    phase: status.phase,
    generation: status.generation,
    reload: list(status.reloads && status.reloads.recent)[0],
    deaths: status.deaths && status.deaths.total,
  };
  if (isNumber(seen.deaths) && next.deaths > seen.deaths) news(next.deaths - seen.deaths === 1 ? 'A process has died.' : `${next.deaths - seen.deaths} processes have died.`);
  else if (seen.phase && next.reload && (!seen.reload || next.reload.at !== seen.reload.at)) {
    news(next.reload.failure ? clean(`A reload failed: ${next.reload.failure}`) : `Generation ${clean(next.generation)} serves after a reload.`);
  } else if (seen.phase !== next.phase && [seen.phase, next.phase].some(phase => NOTABLE.includes(phase))) {
    news(clean(`The server is ${next.phase}.`));
  }
  seen = next;
}

function connect() {
  disconnect();
  source = new EventSource('events' + (lastId ? `?after=${encodeURIComponent(lastId)}` : ''));
  source.addEventListener('status', event => {
    const { status, deaths: newDeaths } = take(event);
    connection('live', 'live');
    showStatus(status, points);
    if (Array.isArray(newDeaths)) deaths.fill(newDeaths);
    tellNews(status);
    draw();
  });
  source.addEventListener('silent', event => {
    take(event);
    connection('silent', 'the master does not answer');
    draw();
  });
  source.onerror = () => {
    connection('lost', 'reconnecting');
    // A refusal ends the stream for good: then it is up to the page to try again.
    if (source.readyState !== EventSource.CLOSED) return;
    disconnect();
    again = setTimeout(connect, AGAIN_MS);
  };
}

function disconnect() {
  clearTimeout(again);
  clearTimeout(silence);
  if (source) source.close();
  source = null;
}

// A page in the background costs the server nothing.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    disconnect();
    connection('connecting', 'paused');
  } else {
    connect();
  }
});
addEventListener('pagehide', disconnect);
addEventListener('pageshow', event => event.persisted && connect());
addEventListener('resize', draw);
for (const table of [workers, services, deaths, reloads, listeners, memory]) table.fill([]);
draw();
connect();
