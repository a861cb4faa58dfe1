// @ts-check
// Sign-in on this machine: users choose who they are.

/** @param {{html: any}} page */
export function way({ html }) {
  return {
    View: ({ act, caller }) => html`<form
      aria-label="Sign in"
      onSubmit=${(event) => {
        event.preventDefault();
        act(Object.fromEntries(new FormData(event.target)));
      }}
    >
      <p class="quiet">This is the local stack: choose who you are.</p>
      <label>User <input name="sub" required maxlength="128" value=${caller?.sub ?? "jo"} autocomplete="off" /></label>
      <label>
        Organisations, as ids separated by commas (optional)
        <input name="orgs" value=${(caller?.orgs ?? []).join(", ")} autocomplete="off" />
      </label>
      <p><button type="submit" class="primary">Sign in</button></p>
    </form>`,

    async signIn({ sub, orgs }) {
      const answer = await fetch("/local/tokens", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          sub,
          orgs: orgs
            .split(",")
            .map((org) => org.trim())
            .filter(Boolean),
        }),
      }).catch(() => {
        throw new Error("The local stack does not answer. Is it still running?");
      });
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.detail);
      return body.token;
    },
  };
}
