// The theme that was chosen, before anything is drawn. A script of its own, so that no page flashes in the wrong colours.
document.documentElement.dataset.theme = localStorage.getItem('skep-theme') ?? 'auto';
