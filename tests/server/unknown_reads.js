// Run before the page's own scripts: complain of every name that the page reads from an answer which does not have it.
// JavaScript answers such a read with undefined, so a field that was renamed looks like one that is empty.

(() => {
  const LANGUAGE = ["then", "toJSON"]; // what await and JSON.stringify ask any object for
  const LEFT_OUT = ["reason", "report", "error"]; // the lines of an import have only the ones that they need
  const watched = new WeakMap();
  const told = new Set();

  function check(target, name, where, optional) {
    if (typeof name !== "string" || name in target || LANGUAGE.includes(name) || optional.includes(name)) return;
    const read = `${where}.${name}`;
    if (!told.has(read)) console.error(`the answer has no ${read}`);
    told.add(read);
  }

  function watch(value, where, optional = []) {
    if (value === null || typeof value !== "object") return value;
    if (!watched.has(value)) {
      const proxy = new Proxy(value, {
        get(target, name) {
          check(target, name, where, optional);
          const child = Reflect.get(target, name);
          return Object.hasOwn(target, name) ? watch(child, Array.isArray(target) ? `${where}[]` : `${where}.${name}`) : child;
        },
        has(target, name) {
          check(target, name, where, optional);
          return Reflect.has(target, name);
        },
      });
      watched.set(value, proxy); // one for each object, so that the page may compare them
    }
    return watched.get(value);
  }

  const fetched = window.fetch;
  window.fetch = async (path, options) => {
    const answer = await fetched(path, options);
    const json = answer.json.bind(answer);
    answer.json = async () => watch(await json(), `${options?.method ?? "GET"} ${String(path).split("?")[0]}`);
    return answer;
  };

  const parse = JSON.parse;
  JSON.parse = (...given) => watch(parse(...given), "line of JSON", LEFT_OUT);
})();
