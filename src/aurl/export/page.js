// Plays and draws the pieces of the page; one of them sounds at a time.
(() => {
  const AHEAD = 0.4, TICK = 100, NYQUIST = 0.45;
  const music = JSON.parse(document.getElementById("music").textContent);
  // [harmonics, seconds in which a struck tone fades to a third (0: held), attack, release]
  const struck = [[1, .5, .28, .16, .1], .9, .004, .12], held = [[1, .55, .4, .28, .2], 0, .05, .12];
  const sounds = {
    organ: [[1, .7, .3, .45], 0, .01, .06], strings: held, ensemble: held, brass: held, reed: held,
    pipe: [[1, .2, .08], 0, .04, .1], synth_lead: held, synth_pad: [[1, .4, .2], 0, .15, .3],
    chromatic_percussion: [[1, .1, .35], .4, .002, .2], guitar: [[1, .6, .4, .25], .6, .003, .1],
    bass: [[1, .6, .25], .8, .005, .08],
  };
  let audio = null, output = null, noise = null, current = null;
  const waves = new Map(), active = new Set();

  const open = () => {
    if (audio) return;
    audio = new AudioContext();
    output = audio.createDynamicsCompressor();
    output.connect(audio.destination);
    noise = audio.createBuffer(1, audio.sampleRate, audio.sampleRate);
    const samples = noise.getChannelData(0);
    for (let i = 0; i < samples.length; i++) samples[i] = Math.random() * 2 - 1;
  };
  const waveOf = (name, harmonics, hertz) => {
    const count = Math.max(1, Math.min(harmonics.length, Math.floor(NYQUIST * audio.sampleRate / hertz)));
    const key = name + count;
    if (!waves.has(key)) {
      const real = new Float32Array(count + 1), imaginary = Float32Array.from([0, ...harmonics.slice(0, count)]);
      waves.set(key, audio.createPeriodicWave(real, imaginary));
    }
    return waves.get(key);
  };
  const sound = (source, gain, at, until, filter) => {
    (filter ? source.connect(filter) : source).connect(gain).connect(output);
    source.start(at);
    source.stop(until);
    active.add(source);
    source.onended = () => active.delete(source);
  };
  const tone = (name, at, length, pitch, velocity) => {
    const [harmonics, fade, attack, release] = sounds[name] || struck;
    const hertz = 440 * 2 ** ((pitch - 69) / 12), source = audio.createOscillator(), gain = audio.createGain();
    source.setPeriodicWave(waveOf(name, harmonics, hertz));
    source.frequency.value = hertz;
    const level = 0.2 * (velocity / 127) ** 1.5, end = at + Math.max(length, attack);
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(level, at + attack);
    if (fade) gain.gain.setTargetAtTime(0, at + attack, fade);
    gain.gain.setTargetAtTime(0, end, release / 3);
    sound(source, gain, at, end + 2 * release);
  };
  const drum = (at, pitch, velocity) => {
    const gain = audio.createGain(), level = 0.4 * velocity / 127, low = [35, 36, 41, 43, 45, 47, 48, 50].includes(pitch);
    const long = [46, 49, 51, 52, 53, 55, 57, 59].includes(pitch) ? 0.35 : low || pitch < 41 ? 0.09 : 0.03;
    gain.gain.setValueAtTime(level, at);
    gain.gain.setTargetAtTime(0, at, long);
    if (low) {
      const source = audio.createOscillator();
      source.frequency.setValueAtTime(pitch < 37 ? 120 : 220, at);
      source.frequency.setTargetAtTime(pitch < 37 ? 50 : 100, at, 0.04);
      sound(source, gain, at, at + 6 * long);
    } else {
      const source = audio.createBufferSource(), filter = audio.createBiquadFilter();
      source.buffer = noise;
      filter.type = pitch < 41 ? "bandpass" : "highpass";
      filter.frequency.value = pitch < 41 ? 1800 : 6000;
      sound(source, gain, at, at + Math.min(1, 6 * long), filter);
    }
  };
  const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

  class Player {
    constructor(root) {
      this.root = root;
      this.music = music[Number(root.dataset.piece)];
      [this.button, this.range, this.output, this.roll, this.canvas, this.head] =
        ["button", "input", "output", ".roll", "canvas", ".roll i"].map(name => root.querySelector(name));
      this.notes = this.music.lanes.flatMap(lane => lane.start.map((start, n) =>
        [start, lane.length[n], lane.pitch[n], lane.velocity[n], lane.family])).sort((a, b) => a[0] - b[0]);
      this.at = 0;
      this.button.addEventListener("click", () => this.toggle());
      this.range.addEventListener("input", () => this.seek(Number(this.range.value)));
      this.roll.addEventListener("click", event => {
        const box = this.roll.getBoundingClientRect();
        this.seek((event.clientX - box.left) / box.width * this.music.seconds);
      });
      this.show();
    }
    get now() { return this.timer ? Math.max(this.at, this.at + audio.currentTime - this.began) : this.at; }
    toggle() { this.timer ? this.pause() : this.play(); }
    play() {
      open();
      audio.resume();
      if (current && current !== this) current.pause();
      current = this;
      if (this.at >= this.music.seconds) this.at = 0;
      this.began = audio.currentTime + 0.05;
      this.next = this.notes.findIndex(note => note[0] >= this.at);
      if (this.next < 0) this.next = this.notes.length;
      this.timer = setInterval(() => this.step(), TICK);
      this.button.textContent = "Pause";
      this.step();
    }
    pause() {
      this.at = Math.min(this.now, this.music.seconds);
      clearInterval(this.timer);
      this.timer = 0;
      for (const source of active) source.stop();
      this.button.textContent = "Play";
      this.show();
    }
    seek(seconds) {
      const playing = this.timer;
      if (playing) this.pause();
      this.at = Math.min(Math.max(seconds, 0), this.music.seconds);
      current = current || this;
      playing ? this.play() : this.show();
    }
    step() {
      const now = this.now;
      for (; this.next < this.notes.length && this.notes[this.next][0] < now + AHEAD; this.next++) {
        const [start, length, pitch, velocity, family] = this.notes[this.next];
        const at = Math.max(this.began + start - this.at, audio.currentTime);
        family === "drums" ? drum(at, pitch, velocity) : tone(family, at, length, pitch, velocity);
      }
      this.show();
      if (now >= this.music.seconds) { this.pause(); this.at = 0; this.show(); }
    }
    show() {
      const now = Math.min(this.now, this.music.seconds);
      this.range.value = now;
      this.output.textContent = `${clock(now)} / ${clock(this.music.seconds)}`;
      this.head.style.left = `${100 * now / (this.music.seconds || 1)}%`;
    }
    draw() {
      const ratio = window.devicePixelRatio || 1, canvas = this.canvas, paint = canvas.getContext("2d");
      const width = canvas.width = canvas.clientWidth * ratio, height = canvas.height = canvas.clientHeight * ratio;
      const pitches = this.music.lanes.flatMap(lane => lane.pitch);
      const low = pitches.reduce((a, b) => Math.min(a, b), 60) - 1, high = pitches.reduce((a, b) => Math.max(a, b), 60) + 2;
      const across = width / (this.music.seconds || 1), up = height / (high - low);
      for (const lane of this.music.lanes) {
        paint.fillStyle = lane.colour;
        lane.start.forEach((start, n) => {
          paint.globalAlpha = 0.35 + 0.65 * lane.velocity[n] / 127;
          const shown = lane.family === "drums" ? 2 * ratio : Math.max(lane.length[n] * across, ratio);
          paint.fillRect(start * across, (high - lane.pitch[n] - 1) * up, shown, Math.max(up - 1, 1));
        });
      }
    }
  }

  const players = [...document.querySelectorAll(".player")].map(root => new Player(root));
  const seen = new IntersectionObserver(entries => entries.forEach(entry => {
    if (!entry.isIntersecting) return;
    seen.unobserve(entry.target);
    players.find(player => player.root === entry.target).draw();
  }), { rootMargin: "300px" });
  players.forEach(player => seen.observe(player.root));
  document.addEventListener("keydown", event => {
    if (event.code !== "Space" || event.target.closest("button, a")) return;
    const inside = event.target.closest(".player");
    const chosen = inside ? players.find(player => player.root === inside) : current || players[0];
    if (!chosen) return;
    event.preventDefault();
    chosen.toggle();
  });
})();
