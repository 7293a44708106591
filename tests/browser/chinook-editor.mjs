// Somebody who edits Chinook at random, on one device; the ledger learns of each edit that was acknowledged.

import { setTimeout as sleep } from 'node:timers/promises';

/** What may be written into a field. */
const text = editor => `${editor.name()} \u{1F3B8} é`;
const perhaps = editor => (editor.below(4) === 0 ? null : text(editor));
// Some of them are whole numbers, which SQLite keeps as such.
const price = editor => editor.below(400) / 100;
const date = editor => new Date(editor.below(1e9) * 1000).toISOString().slice(0, 19).replace('T', ' ');
const genre = editor => editor.any('Genre').GenreId;

/** The fields that are changed. */
const FIELDS = {
  Album: { Title: text },
  Artist: { Name: perhaps },
  Customer: { Company: perhaps, Phone: perhaps, Email: text },
  Employee: { Title: perhaps, BirthDate: date },
  Genre: { Name: text },
  Invoice: { InvoiceDate: date, Total: price, BillingCity: perhaps },
  MediaType: { Name: text },
  Playlist: { Name: text },
  Track: { Name: text, Composer: perhaps, UnitPrice: price, GenreId: genre },
};

/** Those that only grow. */
const INCREASED = [['Track', 'Milliseconds'], ['InvoiceLine', 'Quantity']];

/** Those that nobody points to: of customers only the ones that were made here. */
const DELETED = ['InvoiceLine', 'PlaylistTrack', 'Customer'];

export class Editor {
  #device;
  #ledger;
  #random;
  #first;
  #made = 0;
  /** Customers without invoices, of this device. */
  #customers = [];

  /** @param {number} first where the keys of what is made on this device begin */
  constructor(device, ledger, random, first) {
    this.#device = device;
    this.#ledger = ledger;
    this.#random = random;
    this.#first = first;
  }

  below(most) {
    return Math.floor(this.#random() * most);
  }

  /** One that was not there before. */
  name() {
    return `${this.#next()}`;
  }

  #next() {
    this.#made += 1;
    return this.#first + this.#made;
  }

  /** The key of a row; often one of a few, so that both devices edit the same. */
  any(collection) {
    const keys = this.#ledger.keys(collection);
    return keys[this.below(this.below(3) === 0 ? Math.min(keys.length, 10) : keys.length)];
  }

  /** Makes an artist and tells what it is found by. */
  async mark() {
    const Name = text(this);
    await this.#create('Artist', { ArtistId: this.#next(), Name });
    return { Name };
  }

  async edit() {
    const ways = [
      () => this.#change(),
      () => this.#change(),
      () => this.#change(),
      () => this.#increase(),
      () => this.#album(),
      () => this.#invoice(),
      () => this.#customer(),
      () => this.#listed(),
      () => this.#delete(),
    ];
    await ways[this.below(ways.length)]();
    // Who writes without a pause leaves no time to take in what others write.
    await sleep(this.below(60));
  }

  async #change() {
    const collections = Object.keys(FIELDS);
    const collection = collections[this.below(collections.length)];
    const fields = Object.entries(FIELDS[collection]).filter(() => this.below(2) === 0);
    if (fields.length === 0) return;
    const key = this.any(collection);
    const changes = Object.fromEntries(fields.map(([field, value]) => [field, value(this)]));
    const began = performance.now();
    // None where the row has not come yet, or is gone.
    const changed = await this.#device('update', collection, key, changes);
    if (changed === 1) this.#ledger.changed(collection, key, changes, began, performance.now());
  }

  async #increase() {
    const [collection, field] = INCREASED[this.below(INCREASED.length)];
    const key = this.any(collection);
    const by = 1 + this.below(100);
    const changed = await this.#device('update', collection, key, { [field]: { $inc: by } });
    if (changed === 1) this.#ledger.increased(collection, key, field, by);
  }

  async #album() {
    const artist = { ArtistId: this.#next(), Name: text(this) };
    const album = { AlbumId: this.#next(), Title: text(this), ArtistId: artist.ArtistId };
    await this.#create('Artist', artist);
    await this.#create('Album', album);
    for (let n = this.below(4); n > 0; n -= 1) {
      await this.#create('Track', {
        TrackId: this.#next(), Name: text(this), AlbumId: album.AlbumId, MediaTypeId: 1 + this.below(5),
        Milliseconds: this.below(1e6), UnitPrice: price(this),
      });
    }
  }

  async #invoice() {
    const invoice = { InvoiceId: this.#next(), CustomerId: 1 + this.below(59), InvoiceDate: date(this), Total: price(this) };
    await this.#create('Invoice', invoice);
    for (let n = this.below(3); n > 0; n -= 1) {
      await this.#create('InvoiceLine', {
        InvoiceLineId: this.#next(), InvoiceId: invoice.InvoiceId, ...this.any('Track'), UnitPrice: price(this), Quantity: 1,
      });
    }
  }

  async #customer() {
    const customer = { CustomerId: this.#next(), FirstName: text(this), LastName: text(this), Email: text(this) };
    if (await this.#create('Customer', customer)) this.#customers.push({ CustomerId: customer.CustomerId });
  }

  /** A track on a list of this device's own, as a pair that never was. */
  async #listed() {
    const list = { PlaylistId: this.#next(), Name: text(this) };
    await this.#create('Playlist', list);
    await this.#create('PlaylistTrack', { PlaylistId: list.PlaylistId, ...this.any('Track') });
  }

  /** Not acknowledged is what points to a row that has not come here yet, where SQLite looks at that. */
  async #create(collection, object) {
    try {
      await this.#device('create', collection, object);
    } catch (why) {
      if (/foreign key|points to/i.test(why.message)) return false;
      throw why;
    }
    this.#ledger.created(collection, object);
    return true;
  }

  async #delete() {
    const collection = DELETED[this.below(DELETED.length)];
    const key = collection === 'Customer' ? this.#customers.pop() : this.any(collection);
    if (key && await this.#device('delete', collection, key) === 1) this.#ledger.deleted(collection, key);
  }
}
