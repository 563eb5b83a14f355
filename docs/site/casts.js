// Links to recordings become players, where the site is served: a page that is opened as a file may read no other file.
(() => {
  const links = location.protocol === "file:" ? [] : document.querySelectorAll('a[href$=".cast"]');
  if (links.length === 0) return;
  const files = `${path_to_root}docs/site/asciinema-player`;
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = `${files}.css`;
  const script = document.createElement("script");
  script.src = `${files}.min.js`;
  script.onload = () => {
    for (const link of links) {
      const place = document.createElement("div");
      link.closest("p").after(place);
      AsciinemaPlayer.create(link.href, place, { preload: true, poster: "npt:12", idleTimeLimit: 2, fit: "width" });
    }
  };
  document.head.append(style, script);
})();
