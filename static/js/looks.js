// How the page looks on this device, before anything of it is painted: the one script that is not a module and blocks.
//
// What was chosen is kept under "chat.looks"; what the system asks for counts where nothing was. The style sheets read
// data-theme, data-contrast, data-motion and data-size of <html>, and nothing else. A change in any tab is in all of them.
{
  const root = document.documentElement;
  const asked = { contrast: matchMedia("(prefers-contrast: more)"), motion: matchMedia("(prefers-reduced-motion: reduce)") };

  const chosen = () => {
    try {
      return JSON.parse(localStorage.getItem("chat.looks")) ?? {};
    } catch {
      return {};
    }
  };

  const look = () => {
    const { theme, contrast, motion, size } = chosen();
    Object.assign(root.dataset, {
      theme: theme || "system",
      contrast: contrast === "more" || asked.contrast.matches ? "more" : "system",
      motion: motion === "reduced" || asked.motion.matches ? "reduced" : "system",
      size: size || "normal",
    });
  };

  look();
  for (const query of Object.values(asked)) query.addEventListener("change", look);
  addEventListener("storage", look);
  addEventListener("looks", look);
}
