use serde_json::json; use std::sync::Arc; use storex_core::*; use storex_memory::*; use std::time::Instant;
use serde::{Serialize,Deserialize};
#[derive(Serialize,Deserialize,Clone)] struct N{#[serde(default)] id:String,title:String,stars:i64}
impl Object for N{const COLLECTION:&'static str="note";}
#[tokio::main(flavor="current_thread")] async fn main(){
 let reg=Registry::builder().collection(Definition::new("note").field("title",FieldType::String).field("stars",FieldType::Int)).build().unwrap();
 let s=Storage::builder(MemoryBackend::new(),reg,Arc::new(TestRuntime::new(1))).middleware(AutoPk::new()).open().await.unwrap();
 for n in [10i64,100,1000,3000]{
  let t=Instant::now();
  s.transaction(move |tx|->Result<()>{let c=tx.dynamic("note")?; for i in 0..n {c.create(json!({"title":"hello world","stars":i}))?;} Ok(())}).await.unwrap();
  println!("dynamic {n}: {:?}",t.elapsed());
  let t=Instant::now();
  s.transaction(move |tx|->Result<()>{let c=tx.collection::<N>()?; for i in 0..n {c.create(&N{id:String::new(),title:"hello world".into(),stars:i})?;} Ok(())}).await.unwrap();
  println!("typed {n}: {:?}",t.elapsed());
  let t=Instant::now();
  s.transaction(move |tx|->Result<()>{let c=tx.collection::<N>()?; let v:Vec<N>=(0..n).map(|i|N{id:String::new(),title:"hello world".into(),stars:i}).collect(); c.create_many(&v)?; Ok(())}).await.unwrap();
  println!("create_many {n}: {:?}",t.elapsed());
 }
}
