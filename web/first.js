// What comes before all modules: the theme that was chosen, so that no page flashes in the wrong colours, and what this address
// will need, asked for while the modules are on their way. The queen puts this script into the page itself. Read next: app.js.

document.documentElement.dataset.theme = localStorage.getItem('skep-theme') ?? 'auto';
{
  const [, kind, name] = location.pathname.split('/');
  const views = { '': 'fleet', jobs: name ? 'job' : 'jobs', projects: name ? 'project' : 'projects', new: 'new-job' };
  const view = Object.hasOwn(views, kind) ? views[kind] : null;
  if (view) {
    const link = document.createElement('link');
    link.rel = 'modulepreload';
    link.href = `/views/${view}.js`;
    document.head.append(link);
  }
  const ask = (path) => {
    const read = async (response) => [response, await response.text()];
    const answer = fetch(`/api/v1${path}`, { headers: { accept: 'application/json' } }).then(read);
    // Whoever takes it hears what went wrong.
    answer.catch(() => {});
    return [path, answer];
  };
  globalThis.skepEarly = new Map(['/session', view === 'job' && `/jobs/${name}`].filter(Boolean).map(ask));
}
